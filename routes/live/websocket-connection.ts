/** One connection over WebSocket (native contract §5): frames of ours out, frames of the client in. */
import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import { AckFrame, CreditFrame } from '../../schemas/frames.js'
import { DaybookError, type ErrorCode, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Found } from '../../src/reading/source.js'
import type { Store } from '../../src/store/store.js'
import type { Closing, Connection, Statistics } from '../../src/subscriptions/connection.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import { type Again, eventFrames, plainFrame, type SharedBytes, textFrame } from '../wire/live/live-frames.js'
import { problemKinds } from '../wire/problems/problem.js'
import { compileShape } from '../wire/problems/shape.js'
import { parseCursor } from '../wire/reading/bounds.js'
import type { LivePlan } from './live-plan.js'
import { queuedBytes } from './socket-queue.js'

const checkAck = compileShape<AckFrame>(AckFrame)
const checkCredit = compileShape<CreditFrame>(CreditFrame)

/** Close codes of their own; all others are 4000 and the status. */
const CLOSE_CODES: Partial<Record<ErrorCode, number>> = {
  complete: 1000,
  stopping: 1001,
  internal: 1011,
  'too-slow': 1013,
  overloaded: 1013
}

export class WebSocketConnection implements Connection {
  readonly transport = 'websocket'
  readonly client: string
  readonly #socket: WebSocket
  /** Frames are written to it as they are: several at once, and the same bytes for many. */
  readonly #raw: Socket
  readonly #plan: LivePlan
  readonly #store: Store
  readonly #shared: SharedBytes
  readonly #batch: number
  #subscription: Subscription | undefined
  /** Something came since the last ping. */
  #alive = true

  constructor(socket: WebSocket, request: FastifyRequest, plan: LivePlan, store: Store, shared: SharedBytes) {
    this.client = request.ip
    this.#socket = socket
    this.#raw = request.raw.socket
    this.#plan = plan
    this.#store = store
    this.#shared = shared
    this.#batch = plan.query.batch ?? 1
    const { liveQuery, options, head, attachment } = plan
    this.#tell('subscribed', {
      stream: liveQuery.address.stream,
      from: String(options.next),
      cursor: String(options.next - 1),
      head: head < 0 ? null : head,
      log: store.log.id,
      consumer: attachment?.named
    })
  }

  begin(subscription: Subscription): void {
    this.#subscription = subscription
    const socket = this.#socket
    socket.on('close', () => subscription.ended())
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('message', (data, isBinary) => {
      this.#alive = true
      this.#take(data as Buffer, isBinary)
    })
  }

  get waiting(): number {
    return this.#raw.writableLength
  }

  get unsent(): number {
    return this.waiting + queuedBytes(this.#raw)
  }

  drained(callback: () => void): void {
    this.#raw.once('drain', callback)
  }

  send(events: readonly Found[], shared: boolean, again?: Again): void {
    const sharing = shared && this.#batch === 1 && again === undefined
    this.#raw.write(this.#shared.of(events, sharing, () => eventFrames(events, this.#batch, again)))
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

  /** Whoever answered no ping since the last time is not there any more. */
  heartbeat(): void {
    if (this.#alive) this.#socket.ping()
    else this.#socket.terminate()
    this.#alive = false
  }

  statistics({ cursor, credit, ...others }: Statistics): void {
    this.#tell('statistics', { cursor: String(cursor), credit: Number.isFinite(credit) ? credit : null, ...others })
  }

  close({ error: { code, message }, cursor }: Closing): void {
    const { title, status } = problemKinds[code]
    this.#tell('closing', { code, title, detail: message, cursor: String(cursor) })
    this.#socket.close(CLOSE_CODES[code] ?? 4000 + status, code)
    const cancel = this.#store.clock.after(limits.close_linger_ms, () => this.#socket.terminate())
    this.#socket.once('close', cancel)
  }

  /** A frame of the client. What is wrong with it is told, and the connection stays. */
  #take(data: Buffer, isBinary: boolean): void {
    try {
      const { frame, value } = parseFrame(data, isBinary)
      if (frame === 'ack') this.#acknowledge(parseCursor('cursor', checkAck(value, badFrame).cursor))
      else if (frame === 'credit') this.#subscription?.machine.grant(checkCredit(value, badFrame).events)
      else throw badFrame(`There is no frame "${String(frame).slice(0, 60)}"; a client sends ack and credit.`)
    } catch (error) {
      this.#refuse(error as Error)
    }
  }

  #acknowledge(cursor: number): void {
    const { attachment } = this.#plan
    if (attachment === undefined) throw badFrame('An acknowledgement needs a consumer: connect with ?consumer=name.')
    attachment.consumer.acknowledge(cursor, attachment.generation, Infinity).then(
      () => this.#tell('acked', { cursor: String(cursor) }),
      (error: Error) => this.#refuse(error)
    )
  }

  #refuse(error: Error): void {
    const { code, message } = isDaybookError(error) ? error : new DaybookError('internal', error.message)
    // Who sends nonsense and reads no answer is not listened to for ever.
    if (this.waiting > limits.live_buffer_bytes_max) this.#socket.terminate()
    else this.#tell('error', { code, title: problemKinds[code].title, detail: message })
  }

  #tell(frame: string, members: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#raw.write(textFrame(plainFrame(frame, members)))
  }
}

/** @throws `malformed-json`, `bad-frame` */
function parseFrame(data: Buffer, isBinary: boolean): { frame: unknown; value: unknown } {
  if (isBinary) throw badFrame('A frame is text.')
  let value: unknown
  try {
    value = JSON.parse(data.toString())
  } catch {
    throw new DaybookError('malformed-json', 'A frame is one JSON object.')
  }
  if (typeof value !== 'object' || value === null) throw badFrame('A frame is one JSON object.')
  return { frame: (value as { frame?: unknown }).frame, value }
}

function badFrame(why: string): DaybookError {
  return new DaybookError('bad-frame', why)
}
