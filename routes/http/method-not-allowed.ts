/** What an address answers to methods that it does not have. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { ALLOWED_HEADERS } from './cors.js'
import { methodOf, OTHER_METHOD } from './request-target.js'

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', OTHER_METHOD]

/** Lets bodies of every type come and reads none of them. Scopes whose routes take bodies add parsers of their own. */
export function ignoreBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
}

/**
 * Every known address says its methods when asked with OPTIONS, and answers others with 405 and `Allow`.
 * @param known methods of each address
 */
export function refuseOtherMethods(
  app: FastifyInstance,
  known: Iterable<readonly [url: string, methods: ReadonlySet<string>]>
): void {
  ignoreBodies(app)
  // A copy: the routes that are added here may be counted among the known ones.
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
  // Streams are listed there; to write, a name is needed: nothing lives there for a write.
  if (url.replace(/\/$/, '') === '/streams' && METHODS.includes(method) && method !== OTHER_METHOD) {
    throw new DaybookError('not-found', `To ${method}, name a stream: /streams/{stream}.`)
  }
  throw new DaybookError('method-not-allowed', `${method} is not one of ${allow}.`, { allow: allow.split(', ') })
}
