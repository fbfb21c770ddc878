/** Whether anybody still waits for an answer. */
import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** For `ReadRequest.gone`: `aborted` when the client of a request has closed its connection. */
export class ClientGone {
  readonly #socket: Socket

  constructor({ raw }: Pick<FastifyRequest, 'raw'>) {
    this.#socket = raw.socket
  }

  get aborted(): boolean {
    return this.#socket.destroyed
  }
}

/**
 * Waits for work that ends with the connection of its client. The connection is asked and not the response: one that
 * stands behind another on its connection does not hear that it has closed.
 * @param work is given what is aborted when the client goes
 */
export async function whileClientStays<T>(socket: Socket, work: (gone: AbortSignal) => Promise<T>): Promise<T> {
  const gone = new AbortController()
  const leave = () => gone.abort()
  if (socket.destroyed) leave()
  socket.once('close', leave)
  try {
    return await work(gone.signal)
  } finally {
    socket.removeListener('close', leave)
  }
}
