/** One WebSocket, whoever reads over it: writes the server's frames, and finds out whether the client is still there. */
import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import type { FastifyRequest } from 'fastify'
import type { DaybookError, ErrorCode } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { queuedBytes, takenBytes } from '../../reading/socket-queue.js'
import { plainFrame, textFrame } from '../../wire/live/live-frames.js'
import { problemKinds } from '../../wire/problems/problem.js'

/** Close codes of errors; of all others it is 4000 and the status. */
const CLOSE_CODES: Partial<Record<ErrorCode, number>> = {
  complete: 1000,
  stopping: 1001,
  internal: 1011,
  'too-slow': 1013,
  overloaded: 1013
}

/** What a socket hands on to its readers. */
export interface SocketListener {
  /** A frame of the client. */
  taken(data: Buffer, isBinary: boolean): void
  /** It is closed. @param how in a sentence */
  closed(how: string): void
  /** The queue is full now: whoever sends stops. */
  filled(): void
}

export class FrameSocket {
  readonly client: string
  readonly #socket: WebSocket
  /** Frames are written here ready-made: several at once, and the same bytes for many readers. */
  readonly #raw: Socket
  readonly #clock: Clock
  #listener: SocketListener | undefined
  /** Who goes on when the queue is empty again, in the order in which they stopped. */
  #stopped: (() => void)[] = []
  /** It carries several subscriptions. */
  #many = false
  /** The client has sent something since the last ping. */
  #alive = true
  /** It was cut because the client answered no ping. */
  #silent = false

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
      this.#alive = true
    })
    socket.on('message', (data, isBinary) => {
      this.#alive = true
      listener.taken(data as Buffer, isBinary)
    })
  }

  /** Bytes that were written and not flushed. */
  get waiting(): number {
    return this.#raw.writableLength
  }

  /** As `Connection.unsent`. Of several readers it also falls while one after the other fills the queue again. */
  get unsent(): number {
    return this.#many ? -takenBytes(this.#raw) : this.waiting + queuedBytes(this.#raw)
  }

  /** Further readers come to it. */
  share(): void {
    if (this.#many) return
    this.#many = true
    // Each may wait for the end of the connection.
    this.#raw.setMaxListeners(0)
  }

  /** Readers of one socket go on in turns: the next waits when the one before it has filled the queue again. */
  drained(callback: () => void): void {
    this.#stopped.push(callback)
    if (this.#stopped.length > 1) return
    this.#raw.once('drain', () => this.#goOn())
    this.#listener?.filled()
  }

  /** Writes frames that are ready for the socket. */
  write(frames: Buffer): void {
    this.#raw.write(frames)
  }

  /** Writes frames of which parts are shared, without copying them. */
  writeParts(parts: readonly Buffer[]): void {
    this.#raw.cork()
    for (const part of parts) this.#raw.write(part)
    this.#raw.uncork()
  }

  /** Sends a frame that carries no events, unless the socket is closing. */
  tell(frame: string, members: object): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#raw.write(textFrame(plainFrame(frame, members)))
  }

  /** Ends a connection whose client has sent nothing, not even a pong, since the last ping. */
  ping(): void {
    if (this.#alive) this.#socket.ping()
    else {
      this.#silent = true
      this.#socket.terminate()
    }
    this.#alive = false
  }

  /** Says why in the last frame, and closes. @param cursor of the socket's own subscription */
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

  #goOn(): void {
    const all = this.#stopped
    this.#stopped = []
    while (all.length > 0 && this.#stopped.length === 0) all.shift()?.()
    // Whoever had no turn is before the one that has filled it.
    if (this.#stopped.length > 0) this.#stopped.unshift(...all)
  }

  #howItEnded(code: number, reason: string): string {
    if (this.#silent) return 'The client answered no ping.'
    // 1006: there was no close frame (RFC 6455 §7.1.5).
    if (code === 1006) return 'The connection broke.'
    return `The client closed the connection with ${code}${reason === '' ? '' : `: ${reason}`}.`
  }
}
