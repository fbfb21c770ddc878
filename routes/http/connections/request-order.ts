/** Handles the requests of one connection one after the other, in the order of arrival (RFC 9112 9.3.2). */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ErrorCode } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { endWithProblem } from '../error-handler.js'
import { currentResponse } from './current-response.js'
import { dropBytes, lingerAndClose } from './lingering-close.js'
import { announcesBody } from './request-body.js'

/** The queue of pipelined requests of one connection. */
interface RequestQueue {
  count: number
  /** Set while reading from the socket is paused: cancels the time-out of the pause. */
  paused: (() => void) | undefined
}

/**
 * Handles a request once the responses to all earlier requests of its connection have been sent. Node parses pipelined
 * requests as they arrive and emits all of them at once. Without this queue, a GET could miss the write of the POST
 * before it, and two POSTs could be written in reverse order. A queued request is not in flight, and uses no more
 * memory than the part of it that node has read.
 */
export class RequestOrder {
  readonly #clock: Clock
  readonly #queues = new WeakMap<Socket, RequestQueue>()
  /** Connections that received an invalid request: they end after the responses to the earlier requests. */
  readonly #broken = new WeakSet<Socket>()
  /** Queued requests of all connections. */
  #waiting = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Returns a listener that passes the requests of each connection to `handle` one after the other. */
  listener(handle: RequestListener): RequestListener {
    return (request, response) => {
      // Node assigns the socket to a response once the earlier responses have been sent.
      if (response.socket !== null) handle(request, response)
      else this.#wait(request, response, handle)
    }
  }

  /**
   * Sends a problem for an invalid or late request, after the responses to the earlier requests of the connection.
   * Drops all later bytes and ends the connection.
   */
  refuse(socket: Socket, code: ErrorCode): void {
    if (this.#broken.has(socket)) return
    const current = currentResponse(socket)
    if (!socket.writable || current === undefined || !current.req.complete) {
      this.#end(socket, code)
      return
    }
    this.#broken.add(socket)
    // Otherwise node's parser would report the same error again for all further bytes.
    dropBytes(socket)
    this.#endAfter(socket, code, current)
  }

  #endAfter(socket: Socket, code: ErrorCode, response: ServerResponse): void {
    // Node's own listener runs first: it has assigned the socket to the next response, or is ending the connection.
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
    const queue = this.#queues.get(socket) ?? this.#newQueue(socket)
    if (queue.count > 0 && this.#waiting >= limits.pipelined_requests_all_max) {
      // A client that pipelines retries requests that got no response (RFC 9112 9.3.2).
      socket.destroy()
      return
    }
    queue.count++
    this.#waiting++
    // While reading is paused, a disconnect of the client goes unnoticed. The time-out limits that.
    if (queue.count >= limits.pipelined_requests_max && queue.paused === undefined) {
      queue.paused = this.#clock.after(limits.request_timeout_ms, () => socket.destroy())
      socket.pause()
    }
    const cancelBodyTimeout = announcesBody(request) ? this.#cutUnread(request) : undefined
    response.once('socket', () => {
      cancelBodyTimeout?.()
      queue.count--
      this.#waiting--
      if (queue.paused !== undefined && queue.count < limits.pipelined_requests_max) {
        queue.paused()
        queue.paused = undefined
        socket.resume()
      }
      // Node has not finished assigning the socket yet.
      process.nextTick(() => {
        if (!this.#broken.has(socket) || request.complete) handle(request, response)
      })
    })
  }

  /**
   * Destroys the connection when the body of a queued request does not arrive in time. Node stops reading a connection
   * when it has buffered the beginning of a body that is not consumed.
   */
  #cutUnread(request: IncomingMessage): () => void {
    const cancel = this.#clock.after(limits.request_timeout_ms, () => {
      if (!request.complete) request.socket.destroy()
    })
    request.once('close', cancel)
    return cancel
  }

  #newQueue(socket: Socket): RequestQueue {
    const queue: RequestQueue = { count: 0, paused: undefined }
    this.#queues.set(socket, queue)
    // Node resumes the socket by itself, when a body is read or a response was sent.
    socket.on('resume', () => {
      if (queue.paused !== undefined) socket.pause()
    })
    socket.once('close', () => {
      queue.paused?.()
      this.#waiting -= queue.count
      queue.count = 0
    })
    return queue
  }
}
