/** One WebSocket, with one or several subscriptions: writes frames of the server, and pings the client. */
import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import type { DaybookError, ErrorCode } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { flushedBytes, queuedBytes } from '../../reading/socket-queue.js'
import { plainFrame, textFrame } from '../../wire/live/live-frames.js'
import { problemKinds } from '../../wire/problems/problem.js'

/** WebSocket close codes of errors. For all other errors, the close code is 4000 plus the HTTP status. */
const CLOSE_CODES: Partial<Record<ErrorCode, number>> = {
  complete: 1000,
  stopping: 1001,
  internal: 1011,
  'too-slow': 1013,
  overloaded: 1013
}

/** Receives the events of a socket. */
export interface SocketListener {
  /** The client has sent a frame. */
  received(data: Buffer, isBinary: boolean): void
  /** The socket is closed. @param how the reason, as a sentence */
  closed(how: string): void
  /** The write queue is full: all subscriptions must stop sending. */
  filled(): void
}

export class FrameSocket {
  readonly client: string
  readonly #socket: WebSocket
  /** Encoded frames are written here directly: several at once, and the same bytes for many sockets. */
  readonly #raw: Socket
  readonly #clock: Clock
  #listener: SocketListener | undefined
  /** Callbacks of the subscriptions that wait for an empty queue, in the order in which they stopped. */
  #waitingForDrain: (() => void)[] = []
  /** The socket carries several subscriptions. */
  #isShared = false
  /** The client has sent something since the last ping. */
  #isAlive = true
  /** The socket was cut because the client did not answer a ping. */
  #timedOut = false

  constructor(socket: WebSocket, { ip, raw }: FastifyRequest, clock: Clock) {
    this.client = ip
    this.#socket = socket
    this.#raw = raw.socket
    this.#clock = clock
  }

  begin(listener: SocketListener): void {
    this.#listener = listener
    const socket = this.#socket
    socket.on('close', (code, reason) => listener.closed(this.#howItEnded(code, String(reason))))
    socket.on('pong', () => {
      this.#isAlive = true
    })
    socket.on('message', (data, isBinary) => {
      this.#isAlive = true
      listener.received(data as Buffer, isBinary)
    })
  }

  /** Bytes that were written but not flushed. */
  get waiting(): number {
    return this.#raw.writableLength
  }

  /**
   * See `Connection.unsent`: a number that falls while the client accepts data. With several subscriptions it is the
   * negative number of flushed bytes, because other subscriptions refill the queue all the time.
   */
  get unsent(): number {
    return this.#isShared ? -flushedBytes(this.#raw) : this.waiting + queuedBytes(this.#raw)
  }

  /** Prepares the socket for several subscriptions. */
  share(): void {
    if (this.#isShared) return
    this.#isShared = true
    // Each subscription may listen for the end of the connection.
    this.#raw.setMaxListeners(0)
  }

  /**
   * Calls back when the queue is empty again. Subscriptions of one socket take turns: when one has filled the queue,
   * the next waits for another drain.
   */
  drained(callback: () => void): void {
    this.#waitingForDrain.push(callback)
    if (this.#waitingForDrain.length > 1) return
    this.#raw.once('drain', () => this.#resumeWaiting())
    this.#listener?.filled()
  }

  /** Writes encoded frames. */
  write(frames: Buffer): void {
    this.#raw.write(frames)
  }

  /** Writes encoded frames in parts, without copying the parts that subscriptions share. */
  writeParts(parts: readonly Buffer[]): void {
    this.#raw.cork()
    for (const part of parts) this.#raw.write(part)
    this.#raw.uncork()
  }

  /** Sends a frame that carries no events. Does nothing if the socket is closing. */
  tell(frame: string, members: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#raw.write(textFrame(plainFrame(frame, members)))
  }

  /** Pings the client. Cuts the connection if nothing, not even a pong, arrived since the last ping. */
  ping(): void {
    if (this.#isAlive) this.#socket.ping()
    else {
      this.#timedOut = true
      this.#socket.terminate()
    }
    this.#isAlive = false
  }

  /** Sends a `closing` frame and closes the socket. @param cursor cursor of the socket's own subscription, if any */
  close({ code, message }: DaybookError, cursor: number | undefined): void {
    const { title, status } = problemKinds[code]
    this.tell('closing', { code, title, detail: message, cursor: cursor === undefined ? undefined : String(cursor) })
    this.#socket.close(CLOSE_CODES[code] ?? 4000 + status, code)
    const cancel = this.#clock.after(limits.close_linger_ms, () => this.#socket.terminate())
    this.#socket.once('close', cancel)
  }

  cut(): void {
    this.#socket.terminate()
  }

  #resumeWaiting(): void {
    const waiting = this.#waitingForDrain
    this.#waitingForDrain = []
    while (waiting.length > 0 && this.#waitingForDrain.length === 0) waiting.shift()?.()
    // Subscriptions that had no turn precede the one that has filled the queue again.
    if (this.#waitingForDrain.length > 0) this.#waitingForDrain.unshift(...waiting)
  }

  #howItEnded(code: number, reason: string): string {
    if (this.#timedOut) return 'The client did not answer a ping.'
    // 1006: no close frame was received (RFC 6455 §7.1.5).
    if (code === 1006) return 'The connection broke.'
    return `The client closed the connection with code ${code}${reason === '' ? '' : `: ${reason}`}.`
  }
}
