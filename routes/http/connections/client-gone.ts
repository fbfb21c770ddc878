/**
 * Detects clients that have disconnected. Until the server writes to a connection, a client that has closed it looks
 * like one that has only ended its own side and still reads (`nc -N`). Such a client therefore gets some time: the work
 * of its request is aborted after `half_closed_ms`. If the response has not begun `close_linger_ms` later, the
 * connection is destroyed.
 */
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { currentResponse } from './current-response.js'

/** Destroys a connection when its client has half-closed it and the response does not begin in time. */
export function endHalfClosed(socket: Socket, clock: Clock): void {
  socket.once('end', () => {
    if (currentResponse(socket) === undefined) return
    const cancel = clock.after(limits.half_closed_ms + limits.close_linger_ms, () => {
      if (currentResponse(socket)?.headersSent === false) socket.destroy()
    })
    socket.once('close', cancel)
  })
}

/** For `ReadRequest.gone`: `aborted` is true once the client is gone. Read often, so it polls and adds no listeners. */
export class ClientGone {
  readonly #socket: Socket
  readonly #clock: Clock
  /** When this object first saw that the client had ended its side, in milliseconds of the monotonic clock. */
  #since: number | undefined

  constructor({ raw }: Pick<FastifyRequest, 'raw'>, clock: Clock) {
    this.#socket = raw.socket
    this.#clock = clock
  }

  get aborted(): boolean {
    const { destroyed, readableEnded } = this.#socket
    if (destroyed || !readableEnded) return destroyed
    this.#since ??= this.#clock.elapsed()
    return this.#clock.elapsed() - this.#since >= limits.half_closed_ms
  }

  /** Restarts the time-out after a write. If the client is gone, the write makes the connection fail. */
  wrote(): void {
    this.#since = undefined
  }
}

/**
 * Calls back once, when the client is gone. Listens to the connection, not to the response: a pipelined response that
 * waits for an earlier one gets no `close` event.
 * @returns a function that removes the listeners
 */
export function onceGone(socket: Socket, clock: Clock | undefined, callback: () => void): () => void {
  let cancel = () => {}
  const halfClosed = () => {
    if (clock !== undefined) cancel = clock.after(limits.half_closed_ms, callback)
  }
  socket.once('close', callback)
  if (socket.destroyed) callback()
  else if (socket.readableEnded) halfClosed()
  else socket.once('end', halfClosed)
  return () => {
    cancel()
    socket.removeListener('close', callback)
    socket.removeListener('end', halfClosed)
  }
}

/**
 * Runs work and aborts it when its client is gone.
 * @param work receives the signal
 * @param clock for long work: a half-closed client counts as gone after `half_closed_ms`. Without it, only a closed
 * connection counts.
 */
export async function whileClientStays<T>(
  socket: Socket,
  work: (gone: AbortSignal) => Promise<T>,
  clock?: Clock
): Promise<T> {
  const gone = new AbortController()
  const stop = onceGone(socket, clock, () => gone.abort())
  try {
    return await work(gone.signal)
  } finally {
    stop()
  }
}
