/** Whether anybody still waits for an answer. */
import type { FastifyRequest } from 'fastify'

/** For `ReadRequest.gone`: `aborted` when the client of a request has closed its connection. */
export function clientGone({ raw }: Pick<FastifyRequest, 'raw'>): { readonly aborted: boolean } {
  return {
    get aborted() {
      return raw.socket.destroyed
    }
  }
}
