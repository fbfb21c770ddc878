/** Normalizes the first line of a request: its method, and its target in the form that routes match (RFC 9112 3.2). */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply } from 'fastify'
import { DaybookError } from '../../src/errors.js'

/** Methods that a route can have. */
const ROUTED = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** The method under which requests are routed whose method no route has. */
export const OTHER_METHOD = 'TRACE'

const ABSOLUTE = /^(https?):\/\/([^/?#]*)(.*)$/i
const SLASH = 0x2f

const methods = new WeakMap<object, string>()
const refusals = new WeakMap<object, DaybookError>()

/**
 * Rewrites a request to the form that routes match. An absolute target is reduced to its path and query, and its
 * authority replaces the Host (RFC 9112 3.2.2). A method that no route has becomes `OTHER_METHOD`.
 * @param behindProxy true when the connection comes from a proxy, which may have received the request over TLS
 */
export function normalizeTarget(request: IncomingMessage & { originalUrl?: string }, behindProxy: boolean): void {
  const { method = '', url = '' } = request
  if (!ROUTED.has(method)) {
    methods.set(request, method)
    request.method = OTHER_METHOD
  }
  if (url.charCodeAt(0) === SLASH) return
  const [, scheme = '', authority = '', rest = ''] = ABSOLUTE.exec(url) ?? []
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  request.originalUrl = request.url
  if (url === '*' && method === 'OPTIONS') return // a ping of the whole server (RFC 9110 9.3.7)
  const refusal = refusalOf(method, { scheme, authority }, behindProxy || 'encrypted' in request.socket)
  if (refusal !== undefined) refusals.set(request, refusal)
  // An HTTP/1.1 request without a Host stays malformed, even if its target has an authority.
  else if (request.headers.host !== undefined || request.httpVersion !== '1.1') request.headers.host = authority
}

/** Returns why a target that is not a path is refused; undefined when it is allowed. */
function refusalOf(
  method: string,
  { scheme, authority }: { readonly scheme: string; readonly authority: string },
  secure: boolean
): DaybookError | undefined {
  if (method === 'CONNECT') {
    return new DaybookError('not-implemented', 'CONNECT is not supported: this server is not a proxy.')
  }
  if (authority === '') {
    return new DaybookError(
      'bad-request',
      'The request target is malformed. It must be a path, or an absolute address with http: or https:.'
    )
  }
  // RFC 9110 7.4: reject a request for an https address that arrives without TLS.
  if (scheme.toLowerCase() !== 'https' || secure) return undefined
  return new DaybookError(
    'host-refused',
    'The request target has the scheme https:, but the request arrived without TLS.'
  )
}

/** Returns the method as the client sent it. */
export function methodOf(request: IncomingMessage): string {
  return methods.get(request) ?? request.method ?? ''
}

/** @throws `bad-request`, `host-refused`, `not-implemented` when `normalizeTarget` found the target invalid */
export function checkTarget(request: IncomingMessage, reply: FastifyReply): void {
  const refusal = refusals.get(request)
  if (refusal === undefined) return
  // The bytes after a CONNECT are not HTTP.
  reply.header('connection', 'close')
  throw refusal
}
