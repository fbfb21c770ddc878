/** The first line of a request: its method, and the target in the form that routes know (RFC 9112 3.2). */
import type { IncomingMessage } from 'node:http'
import type { FastifyReply } from 'fastify'
import { DaybookError } from '../../src/errors.js'

/** The methods that a route can have. */
const ROUTED = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
/** Stands for every method that no address has. */
export const OTHER_METHOD = 'TRACE'

const ABSOLUTE = /^(https?):\/\/([^/?#]*)(.*)$/i
const SLASH = 0x2f

const methods = new WeakMap<object, string>()
const refusals = new WeakMap<object, DaybookError>()

/**
 * Brings a request into the form that routes know. A target with scheme and authority becomes its path and query, and its
 * authority counts as the Host (RFC 9112 3.2.2). A method that no address has becomes `OTHER_METHOD`.
 * @param behindProxy the connection is a proxy's, which may have taken the request over TLS
 */
export function takeTarget(request: IncomingMessage & { originalUrl?: string }, behindProxy: boolean): void {
  const { method = '', url = '' } = request
  if (!ROUTED.has(method)) {
    methods.set(request, method)
    request.method = OTHER_METHOD
  }
  if (url.charCodeAt(0) === SLASH) return
  const [, scheme = '', authority = '', rest = ''] = ABSOLUTE.exec(url) ?? []
  request.url = rest.startsWith('/') ? rest : `/${rest}`
  request.originalUrl = request.url
  if (url === '*' && method === 'OPTIONS') return // asks whether the server is there
  const refusal = refusalOf(method, { scheme, authority }, behindProxy || 'encrypted' in request.socket)
  if (refusal !== undefined) refusals.set(request, refusal)
  // Without any Host the request is malformed all the same.
  else if (request.headers.host !== undefined || request.httpVersion !== '1.1') request.headers.host = authority
}

/** Why a target that is no path is refused; undefined: it is not. */
function refusalOf(
  method: string,
  { scheme, authority }: { readonly scheme: string; readonly authority: string },
  secure: boolean
): DaybookError | undefined {
  if (method === 'CONNECT') {
    return new DaybookError('not-implemented', 'CONNECT asks a proxy for a tunnel, and this server is none.')
  }
  if (authority === '') {
    return new DaybookError('bad-request', 'The target of a request is a path, or an address with http: or https:.')
  }
  // RFC 9110 7.4: what is meant to be protected is not answered in plain text.
  if (scheme.toLowerCase() !== 'https' || secure) return undefined
  return new DaybookError('host-refused', 'The request is for an address with https:, and came without TLS.')
}

/** The method as the client wrote it. */
export function methodOf(request: IncomingMessage): string {
  return methods.get(request) ?? request.method ?? ''
}

/** @throws `bad-request`, `host-refused`, `not-implemented` for a target that names nothing here */
export function checkTarget(request: IncomingMessage, reply: FastifyReply): void {
  const refusal = refusals.get(request)
  if (refusal === undefined) return
  // What follows a CONNECT is not HTTP.
  reply.header('connection', 'close')
  throw refusal
}
