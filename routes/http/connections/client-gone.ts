/**
 * Whether anybody still waits for an answer. A client that has closed its connection cannot be told from one that has ended
 * its own side and reads on (`nc -N`), until something is written to it. So it is waited for: what its request waits for
 * ends after `half_closed_ms`, and when its answer has still not begun a while later the connection is destroyed.
 */
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { limits } from '../../../src/limits.js'
import type { Clock } from '../../../src/time/clock.js'
import { currentResponse } from './current-response.js'

/** Destroys a new connection when its client has ended its side of it and no answer comes in time. */
export function endHalfClosed(socket: Socket, clock: Clock): void {
  socket.once('end', () => {
    if (currentResponse(socket) === undefined) return
    const cancel = clock.after(limits.half_closed_ms + limits.close_linger_ms, () => {
      if (currentResponse(socket)?.headersSent === false) socket.destroy()
    })
    socket.once('close', cancel)
  })
}

/** For `ReadRequest.gone`: `aborted` when the client of a request is gone. Asked often, so it listens to nothing. */
export class ClientGone {
  readonly #socket: Socket
  readonly #clock: Clock
  /** When the end of its side was first seen here, milliseconds of the monotonic clock. */
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

  /** Something was written since: a client that is there has read it, and to one that is gone the next write fails. */
  wrote(): void {
    this.#since = undefined
  }
}

/**
 * Calls back once, when the client is gone. The connection is asked and not the response: one that stands behind another
 * on its connection does not hear that it has closed.
 * @returns what stops that
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
 * Waits for work that ends when its client is gone.
 * @param work is given what is aborted then
 * @param clock for work that may last; without it the client is gone when the connection has closed
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
