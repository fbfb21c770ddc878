/** The requests of one connection are handled one after the other, as they came (RFC 9112 9.3.2). */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorCode } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { endWithProblem } from '../error-handler.js'
import { currentResponse } from './current-response.js'
import { dropBytes, lingerAndClose } from './lingering-close.js'
import { announcesBody } from './request-body.js'

/** Requests of one connection that wait for their turn. */
interface WaitingLine {
  count: number
  /** The socket is kept from bringing further requests; calling it ends the time for which that may last. */
  paused: (() => void) | undefined
}

/**
 * Handles a request when the responses to all earlier requests of its connection have been sent. Node parses pipelined
 * requests as they arrive and emits all of them at once: a GET would miss what the POST before it writes, and two POSTs
 * could be written in the other order. A request that waits is not in flight, and holds at most what node has read of it.
 */
export class RequestOrder {
  readonly #clock: Clock
  readonly #lines = new WeakMap<Socket, WaitingLine>()
  /** Connections on which something came that is no request: they end after the responses to the requests before it. */
  readonly #broken = new WeakSet<Socket>()
  #waiting = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns what handles requests in the order of their connections */
  listener(handle: RequestListener): RequestListener {
    return (request, response) => {
      // Node gives a response its socket when the responses before it have been sent.
      if (response.socket !== null) handle(request, response)
      else this.#wait(request, response, handle)
    }
  }

  /**
   * Answers a connection on which something came that is no request, or not in time: after the responses to the requests
   * before it. Whatever comes then is dropped, and the connection ends.
   */
  refuse(socket: Socket, code: ErrorCode): void {
    if (this.#broken.has(socket)) return
    const current = currentResponse(socket)
    if (!socket.writable || current === undefined || !current.req.complete) {
      this.#end(socket, code)
      return
    }
    this.#broken.add(socket)
    // Otherwise node's parser would report the same error for every further byte.
    dropBytes(socket)
    this.#endAfter(socket, code, current)
  }

  #endAfter(socket: Socket, code: ErrorCode, response: ServerResponse): void {
    // Node's own listener came first: the next response has its socket by now, or the connection ends.
    response.once('finish', () => {
      const current = currentResponse(socket)
      if (!socket.writable) return
      if (current === undefined || !current.req.complete) this.#end(socket, code)
      else this.#endAfter(socket, code, current)
    })
  }

  #end(socket: Socket, code: ErrorCode): void {
    this.#broken.add(socket)
    endWithProblem(socket, code)
    lingerAndClose(socket, this.#clock)
  }

  #wait(request: IncomingMessage, response: ServerResponse, handle: RequestListener): void {
    const { socket } = request
    const line = this.#lines.get(socket) ?? this.#newLine(socket)
    if (line.count > 0 && this.#waiting >= limits.pipelined_requests_all_max) {
      // A client that pipelines sends again what was not answered (RFC 9112 9.3.2).
      socket.destroy()
      return
    }
    line.count++
    this.#waiting++
    // While nothing is read of it, nobody sees that the client has gone.
    if (line.count >= limits.pipelined_requests_max && line.paused === undefined) {
      line.paused = this.#clock.after(limits.request_timeout_ms, () => socket.destroy())
      socket.pause()
    }
    const stopCutting = announcesBody(request) ? this.#cutUnread(request) : undefined
    response.once('socket', () => {
      stopCutting?.()
      line.count--
      this.#waiting--
      if (line.paused !== undefined && line.count < limits.pipelined_requests_max) {
        line.paused()
        line.paused = undefined
        socket.resume()
      }
      // Node is still handing the socket over.
      process.nextTick(() => {
        if (!this.#broken.has(socket) || request.complete) handle(request, response)
      })
    })
  }

  /** Node reads the beginning of a body that nobody takes, and then nothing more of the connection. */
  #cutUnread(request: IncomingMessage): () => void {
    const cancel = this.#clock.after(limits.request_timeout_ms, () => {
      if (!request.complete) request.socket.destroy()
    })
    request.once('close', cancel)
    return cancel
  }

  #newLine(socket: Socket): WaitingLine {
    const line: WaitingLine = { count: 0, paused: undefined }
    this.#lines.set(socket, line)
    // Node reads on by itself, when a body is wanted or a response was sent.
    socket.on('resume', () => {
      if (line.paused !== undefined) socket.pause()
    })
    socket.once('close', () => {
      line.paused?.()
      this.#waiting -= line.count
      line.count = 0
    })
    return line
  }
}
