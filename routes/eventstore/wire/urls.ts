/** URLs in bodies and Location headers of the dialect (reference 1.5): absolute, as the client reaches the server. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { forwardedOrigin, forwardedPath } from '../../wire/forwarded.js'

/** Returns scheme, host and prefix of the addresses in the response to a request. */
export type BaseOf = (request: FastifyRequest) => string

/**
 * Returns scheme, host, port and prefix of the address that the client used.
 * @param trusted true when the request came through a proxy whose X-Forwarded-* headers are trusted
 */
export function baseUrl(headers: IncomingHttpHeaders, encrypted: boolean, trusted: boolean): string {
  const own = encrypted ? 'https' : 'http'
  const hostHeader = headers.host ?? 'localhost'
  if (!trusted) return `${own}://${hostHeader}`
  const { scheme = own, host, port } = forwardedOrigin(headers)
  const [{ name, port: ownPort }, forwarded] = [splitHost(hostHeader), splitHost(host ?? '')]
  const authority = join(forwarded.name || name, forwarded.port || (port ?? ownPort))
  return `${scheme}://${authority}${forwardedPath(headers)}`
}

function splitHost(host: string): { name: string; port: string } {
  const [, name = '', port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(host) ?? []
  return { name, port }
}

function join(name: string, port: string): string {
  return port === '' ? name : `${name}:${port}`
}

/** Returns a name as one path segment: escapes all but letters, digits and `-_.~` (RFC 3986). */
export function segment(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

export function streamUrl(base: string, stream: string): string {
  return `${base}/streams/${segment(stream)}`
}

/** Returns the unvalidated query. The dialect ignores unknown parameters and uses the first of repeated ones. */
export function rawQueryOf({ url }: { url: string }): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1))
}
