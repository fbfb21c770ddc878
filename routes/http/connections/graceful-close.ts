/** Ends connections when the application closes. */
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../../src/time/clock.js'

const IDLE_CHECK_MS = 50

/**
 * Ends idle connections repeatedly while the application closes. Once `begun` is true, the caller must send
 * `Connection: close` with every response: otherwise a client that keeps sending requests on one connection would
 * delay the close indefinitely.
 * @returns an object whose `begun` is true once the close has begun
 */
export function closeGracefully(app: FastifyInstance, clock: Clock): { begun: boolean } {
  const closing = { begun: false }
  let cancel = () => {}
  const endIdle = () => {
    app.server.closeIdleConnections()
    cancel = clock.after(IDLE_CHECK_MS, endIdle)
  }
  app.addHook('preClose', async () => {
    closing.begun = true
    endIdle()
  })
  app.addHook('onClose', async () => cancel())
  return closing
}
