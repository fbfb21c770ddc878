/** The path prefix under which a proxy publishes this server. Every address in a response begins with it. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { forwardedPrefix } from '../wire/forwarded.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Prefix of every address in a response; `''` unless a trusted proxy sent X-Forwarded-Prefix. */
    readonly prefix: string
  }
}

/** Adds `request.prefix`. @param trustProxy whether X-Forwarded-* headers are trusted */
export function addPrefix(app: FastifyInstance, trustProxy: boolean): void {
  if (!trustProxy) app.decorateRequest('prefix', '')
  else {
    app.decorateRequest('prefix', {
      getter(this: FastifyRequest) {
        return forwardedPrefix(this.headers)
      }
    })
  }
}
