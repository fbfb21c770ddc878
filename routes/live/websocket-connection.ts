/** One connection over WebSocket (native contract §5): sends the server's frames and takes the client's. */
import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import { AckFrame, CreditFrame } from '../../schemas/frames.js'
import { DaybookError, type ErrorCode, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { ReadResult } from '../../src/reading/event-read.js'
import type { Closing, Connection, Redelivery, Statistics } from '../../src/subscriptions/connection.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import type { Clock } from '../../src/time/clock.js'
import { queuedBytes } from '../reading/socket-queue.js'
import { eventFrames, plainFrame, type SharedBytes, textFrame } from '../wire/live/live-frames.js'
import { problemKinds } from '../wire/problems/problem.js'
import { compileShape } from '../wire/problems/shape.js'
import { parseCursor } from '../wire/reading/cursor-bounds.js'
import type { LiveParts, LivePlan } from './plan-live-read.js'

const checkAck = compileShape<AckFrame>(AckFrame)
const checkCredit = compileShape<CreditFrame>(CreditFrame)

/** Close codes of errors; of all others it is 4000 and the status. */
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
  /** Frames are written here ready-made: several at once, and the same bytes for many readers. */
  readonly #raw: Socket
  readonly #plan: LivePlan
  readonly #clock: Clock
  readonly #shared: SharedBytes
  readonly #batch: number
  #subscription: Subscription | undefined
  /** The client has sent something since the last ping. */
  #alive = true
  /** It was cut because the client answered no ping. */
  #silent = false

  constructor(socket: WebSocket, request: FastifyRequest, plan: LivePlan, { clock }: LiveParts, shared: SharedBytes) {
    this.client = request.ip
    this.#socket = socket
    this.#raw = request.raw.socket
    this.#plan = plan
    this.#clock = clock
    this.#shared = shared
    this.#batch = plan.query.batch ?? 1
    this.#tell('subscribed', plan.subscribed)
  }

  begin(subscription: Subscription): void {
    this.#subscription = subscription
    const socket = this.#socket
    socket.on('close', (code, reason) => subscription.ended(this.#howItEnded(code, String(reason))))
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

  send(events: readonly ReadResult[], shared: boolean, redelivery?: Redelivery): void {
    const isShared = shared && this.#batch === 1 && redelivery === undefined
    this.#raw.write(this.#shared.of(events, isShared, () => eventFrames(events, this.#batch, redelivery)))
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

  /** Ends a connection whose client has sent nothing, not even a pong, since the last ping. */
  heartbeat(): void {
    if (this.#alive) this.#socket.ping()
    else {
      this.#silent = true
      this.#socket.terminate()
    }
    this.#alive = false
  }

  statistics({ cursor, credit, ...others }: Statistics): void {
    this.#tell('statistics', { cursor: String(cursor), credit: Number.isFinite(credit) ? credit : null, ...others })
  }

  close({ error: { code, message }, cursor }: Closing): void {
    const { title, status } = problemKinds[code]
    this.#tell('closing', { code, title, detail: message, cursor: String(cursor) })
    this.#socket.close(CLOSE_CODES[code] ?? 4000 + status, code)
    const cancel = this.#clock.after(limits.close_linger_ms, () => this.#socket.terminate())
    this.#socket.once('close', cancel)
  }

  #howItEnded(code: number, reason: string): string {
    if (this.#silent) return 'The client answered no ping.'
    // 1006: there was no close frame (RFC 6455 §7.1.5).
    if (code === 1006) return 'The connection broke.'
    return `The client closed the connection with ${code}${reason === '' ? '' : `: ${reason}`}.`
  }

  /** Takes a frame of the client. A bad frame is answered with an error, and the connection stays. */
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
    // A client that sends bad frames and reads none of the errors is cut off.
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
