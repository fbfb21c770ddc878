/** Which pages of other origins may read responses (native contract §8). */
import cors from '@fastify/cors'
import type { FastifyInstance } from 'fastify'
import { CORS_ALLOW_HEADERS, CORS_EXPOSE_HEADERS } from '../eventstore/wire/cors-headers.js'
import { checkSameOrigin } from './same-origin.js'

/**
 * Origins whose pages may read. `*`: all, without credentials. A list: these, also with credentials. `local`: those of
 * this machine; pages of others could read what a developer's store shows without an account.
 */
export type CorsOrigins = readonly string[] | 'local'

const LOCAL_ORIGIN = /^https?:\/\/(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i

/** Response headers that pages of other origins may read. */
const EXPOSED = `ETag, Link, Retry-After, Daybook-Head, Daybook-Log, Preference-Applied, Request-Id, ${CORS_EXPOSE_HEADERS}`
/** Request headers that they may send. */
export const ALLOWED_HEADERS = `If-Match, If-None-Match, Prefer, Last-Event-ID, Daybook-Log, Idempotency-Key, Event-Type, Event-Id, Event-Metadata, traceparent, ${CORS_ALLOW_HEADERS}`

/**
 * Tells browsers which pages may read, and refuses credentials from pages of all other origins (`origin-refused`): a page
 * can send an `Authorization` that it makes up.
 * @param writers origins whose pages may write here, and so may sign in
 */
export async function shareWithOrigins(
  app: FastifyInstance,
  origins: CorsOrigins,
  writers: readonly string[]
): Promise<void> {
  const named = origins === 'local' || origins.includes('*') ? [] : origins
  await app.register(cors, {
    origin: origins === 'local' ? ifLocal : named.length === 0 ? '*' : [...named],
    credentials: named.length > 0,
    exposedHeaders: EXPOSED,
    preflight: false
  })
  const known = [...named, ...writers]
  app.addHook('onRequest', (request, _reply, done) => {
    const { authorization, origin } = request.headers
    const local = origins === 'local' && origin !== undefined && LOCAL_ORIGIN.test(origin)
    if (authorization !== undefined && origin !== undefined && !local) checkSameOrigin(request, known, 'sign in here')
    done()
  })
  if (origins !== 'local' && named.length === 0) return
  // The response depends on the origin, too; other hooks have set the rest of Vary by now.
  app.addHook('onSend', (request, reply, payload, done) => {
    if (request.headers.origin !== undefined) {
      const vary = String(reply.getHeader('vary') ?? '')
      if (!/\borigin\b/i.test(vary)) reply.header('vary', vary === '' ? 'Origin' : `${vary}, Origin`)
    }
    done(null, payload)
  })
}

/** Allows local origins. A request without Origin does not come from a page of another one. */
function ifLocal(origin: string | undefined, done: (error: Error | null, allowed: string | false) => void): void {
  done(null, origin === undefined || LOCAL_ORIGIN.test(origin) ? '*' : false)
}
