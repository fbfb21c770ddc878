/** How connections end when the application closes. */
import type { FastifyInstance } from 'fastify'
import type { Clock } from '../../../src/time/clock.js'

const IDLE_LOOK_MS = 50

/**
 * While the application closes, connections that have fallen idle are ended. The caller sends `Connection: close` with
 * every answer from then on: a client that keeps asking on a kept-alive connection would otherwise hold the close for ever.
 * @returns whether the close has begun
 */
export function closeGracefully(app: FastifyInstance, clock: Clock): { begun: boolean } {
  const closing = { begun: false }
  let cancel = () => {}
  const endIdle = () => {
    app.server.closeIdleConnections()
    cancel = clock.after(IDLE_LOOK_MS, endIdle)
  }
  app.addHook('preClose', async () => {
    closing.begun = true
    endIdle()
  })
  app.addHook('onClose', async () => cancel())
  return closing
}
