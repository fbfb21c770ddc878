/** Responses to OPTIONS, and to methods that a path does not support. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { ALLOWED_HEADERS } from './cors.js'
import { methodOf, OTHER_METHOD } from './request-target.js'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', OTHER_METHOD]

/** Accepts bodies of every media type and discards them. Scopes whose routes read bodies add their own parsers. */
export function ignoreBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
}

/**
 * Adds routes to every known path: OPTIONS returns the allowed methods, and unsupported methods get 405 with `Allow`.
 * @param known methods of each path
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  known: Iterable<readonly [url: string, methods: ReadonlySet<string>]>
): void {
  ignoreBodies(app)
  // Copy the list: `known` may grow while this loop registers routes.
  for (const [url, methods] of [...known]) {
    if (url === '*') continue
    const allow = [...methods, 'OPTIONS'].join(', ')
    app.options(url, { config: { access: 'anyone', refuses: true }, schema: { hide: true } }, (_request, reply) =>
      sendMethods(reply, allow)
    )
    const others = METHODS.filter((method) => !methods.has(method))
    if (others.length === 0) continue
    app.route({
      method: others,
      url,
      config: { access: 'anyone', refuses: true },
      schema: { hide: true },
      handler: (request, reply) => refuseMethod(request, reply, url, allow)
    })
  }
}

function sendMethods(reply: FastifyReply, allow: string): FastifyReply {
  return reply
    .header('allow', allow)
    .header('access-control-allow-methods', allow)
    .header('access-control-allow-headers', ALLOWED_HEADERS)
    .header('access-control-max-age', '600')
    .send('')
}

/** @throws `method-not-allowed`, `not-found` */
function refuseMethod({ raw }: FastifyRequest, reply: FastifyReply, url: string, allow: string): never {
  const method = methodOf(raw)
  reply.header('allow', allow).header('access-control-allow-methods', allow)
  // `/streams` only lists streams. Writes need a stream name, so the path does not exist for them.
  if (url.replace(/\/$/, '') === '/streams' && METHODS.includes(method) && method !== OTHER_METHOD) {
    throw new DaybookError('not-found', `${method} needs a stream name: /streams/{stream}.`)
  }
  throw new DaybookError('method-not-allowed', `This path does not support ${method}. It supports ${allow}.`, {
    allow: allow.split(', ')
  })
}
