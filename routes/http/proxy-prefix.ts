/** The path under which a proxy shows this server, for every address in an answer. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { forwardedPrefix } from '../wire/forwarded.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** Stands before every address that an answer names; `''` unless a proxy that is believed sent X-Forwarded-Prefix. */
    readonly prefix: string
  }
}

/** @param trustProxy whether X-Forwarded-* headers are believed */
export function knowPrefix(app: FastifyInstance, trustProxy: boolean): void {
  if (!trustProxy) app.decorateRequest('prefix', '')
  else {
    app.decorateRequest('prefix', {
      getter(this: FastifyRequest) {
        return forwardedPrefix(this.headers)
      }
    })
  }
}
