/** The connection of one subscription over a WebSocket (native contract §5): the socket's own, or one of several. */
import type { ReadResult } from '../../../src/reading/event-read.js'
import type { Closing, Connection, Redelivery, Statistics } from '../../../src/subscriptions/connection.js'
import { eventFrames, namedEventFrames, type SharedBytes, type SharedTails } from '../../wire/live/live-frames.js'
import type { LivePlan } from '../plan-live-read.js'
import type { FrameSocket } from './frame-socket.js'

/** Rendered events that several sockets share. */
export interface SharedFrames {
  /** Whole frames, for the sockets' own subscriptions. */
  readonly whole: SharedBytes
  /** Events without the start of their frame, which contains `sub`; for named subscriptions. */
  readonly tails: SharedTails
}

export class WebSocketConnection implements Connection {
  readonly transport = 'websocket'
  readonly #socket: FrameSocket
  readonly #sub: string | undefined
  readonly #shared: SharedFrames
  readonly #batch: number
  readonly #onClose: (closing: Closing) => void

  /**
   * @param sub the client's name for the subscription; undefined: the socket's own
   * @param onClose must tell the client why the subscription ends
   */
  constructor(
    socket: FrameSocket,
    sub: string | undefined,
    plan: LivePlan,
    shared: SharedFrames,
    onClose: (closing: Closing) => void
  ) {
    this.#socket = socket
    this.#sub = sub
    this.#shared = shared
    this.#batch = plan.query.batch ?? 1
    this.#onClose = onClose
    this.#tell('subscribed', plan.subscribed)
  }

  get client(): string {
    return this.#socket.client
  }

  get waiting(): number {
    return this.#socket.waiting
  }

  get unsent(): number {
    return this.#socket.unsent
  }

  drained(callback: () => void): void {
    this.#socket.drained(callback)
  }

  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void {
    const isShared = shared && redelivery === undefined
    if (this.#sub !== undefined) {
      const tails = this.#shared.tails.of(events, isShared, redelivery)
      this.#socket.writeParts(namedEventFrames(this.#sub, events, tails, this.#batch))
    } else {
      const render = () => eventFrames(events, this.#batch, redelivery)
      this.#socket.write(this.#shared.whole.of(events, isShared && this.#batch === 1, render))
    }
  }

  caughtUp(cursor: number): void {
    this.#tell('caughtUp', { cursor: String(cursor) })
  }

  fellBehind(cursor: number): void {
    this.#tell('fellBehind', { cursor: String(cursor) })
  }

  checkpoint(cursor: number): void {
    this.#tell('checkpoint', { cursor: String(cursor) })
  }

  /** Pings are per socket: its own subscription sends them, or SocketReaders if there is none. */
  heartbeat(): void {
    if (this.#sub === undefined) this.#socket.ping()
  }

  statistics({ cursor, credit, ...others }: Statistics): void {
    this.#tell('statistics', { cursor: String(cursor), credit: Number.isFinite(credit) ? credit : null, ...others })
  }

  close(closing: Closing): void {
    this.#onClose(closing)
  }

  #tell(frame: string, members: object): void {
    this.#socket.tell(frame, this.#sub === undefined ? members : { sub: this.#sub, ...members })
  }
}
