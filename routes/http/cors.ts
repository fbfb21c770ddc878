/** CORS: which pages of other origins may read responses (native contract §8). */
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { CORS_ALLOW_HEADERS, CORS_EXPOSE_HEADERS } from '../eventstore/wire/cors-headers.js'
import type { Origins } from './same-origin.js'

/** Response headers that pages of other origins may read. */
const EXPOSED = `ETag, Link, Retry-After, Daybook-Head, Daybook-Log, Preference-Applied, Request-Id, ${CORS_EXPOSE_HEADERS}`
/** Request headers that pages of other origins may send. */
export const ALLOWED_HEADERS = `If-Match, If-None-Match, Prefer, Last-Event-ID, Daybook-Log, Idempotency-Key, Event-Type, Event-Id, Event-Metadata, traceparent, ${CORS_ALLOW_HEADERS}`

/**
 * Adds CORS headers to all responses, including errors, and rejects requests that a page of another origin may not
 * make (`origin-refused`).
 */
export async function shareWithOrigins(app: FastifyInstance, origins: Origins): Promise<void> {
  await app.register(cors, {
    origin: origins.sameForAll ? '*' : (origin, done) => done(null, origins.sharedWith(origin) ?? false),
    exposedHeaders: EXPOSED,
    preflight: false
  })
  app.addHook('onRequest', (request, reply, done) => {
    const { origin } = request.headers
    if (origin !== undefined && origins.isNamed(origin)) reply.header('access-control-allow-credentials', 'true')
    origins.admit(request)
    done()
  })
  if (origins.sameForAll) return
  // The response depends on the origin even when the browser sends no Origin header. Without `Vary: Origin`, a page of
  // another origin could load a response as an image and then read it from the browser's cache. Other hooks have set
  // the rest of Vary by now.
  app.addHook('onSend', (request, reply, payload, done) => {
    const { origin, 'sec-fetch-site': site } = request.headers
    if (origin === undefined && site === undefined) return done(null, payload)
    const vary = String(reply.getHeader('vary') ?? '')
    if (!/\borigin\b/i.test(vary)) reply.header('vary', vary === '' ? 'Origin' : `${vary}, Origin`)
    done(null, payload)
  })
}
