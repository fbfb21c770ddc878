/** How long the body of a request may take to come. */
import type { FastifyInstance, FastifyRequest, onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { isNdjson, mediaType } from '../wire/media-types.js'
import { endWithProblem } from './error-handler.js'

const BODIED = new Set(['POST', 'PUT', 'PATCH'])
const SLOW_LOOK_MS = 5000

/**
 * Ends requests whose body has not come within the limit, with 408. A streamed write is left alone: it may last for
 * hours, and node's own limit knows no exception. Only routes that take a body pay for it.
 */
export function cutSlowBodies(app: FastifyInstance, clock: Clock): void {
  const waiting = new Map<FastifyRequest, number>()
  let cancel = () => {}
  const look = () => {
    const since = clock.elapsed() - limits.request_timeout_ms
    for (const [request, begun] of waiting) {
      const { complete, destroyed, socket } = request.raw
      if (!complete && !destroyed && begun > since) continue
      waiting.delete(request)
      if (!complete && !destroyed) endWithProblem(socket, 'request-timeout')
    }
    cancel = clock.after(SLOW_LOOK_MS, look)
  }
  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => BODIED.has(method))) return
    const begin: onRequestHookHandler = (request, _reply, done) => {
      const streamed = route.url === '/events' && isNdjson(mediaType(request.headers['content-type']))
      if (!streamed) waiting.set(request, clock.elapsed())
      done()
    }
    const end: preHandlerHookHandler = (request, _reply, done) => {
      waiting.delete(request)
      done()
    }
    // Before the hooks that the route brings itself, which stay.
    route.onRequest = [begin, ...[route.onRequest ?? []].flat()]
    route.preHandler = [end, ...[route.preHandler ?? []].flat()]
  })
  app.addHook('onReady', async () => look())
  app.addHook('onClose', async () => cancel())
}
