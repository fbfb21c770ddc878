/** URLs that the dialect writes into bodies and Location (reference 1.5): absolute, as the client reaches us. */
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyRequest } from 'fastify'
import { forwardedOrigin, forwardedPath } from '../../wire/forwarded.js'

/** Scheme, host and prefix of the addresses in the answer to a request. */
export type BaseOf = (request: FastifyRequest) => string

/**
 * Scheme, host, port and prefix of what the client asked.
 * @param trusted the request came through a proxy whose X-Forwarded-* headers are believed
 */
export function baseUrl(headers: IncomingHttpHeaders, encrypted: boolean, trusted: boolean): string {
  const own = encrypted ? 'https' : 'http'
  const asked = headers.host ?? 'localhost'
  if (!trusted) return `${own}://${asked}`
  const { scheme = own, host, port } = forwardedOrigin(headers)
  const [{ name, port: ownPort }, forwarded] = [splitHost(asked), splitHost(host ?? '')]
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

/** A name as one segment of a path: all but letters, digits and `-_.~` is escaped (RFC 3986). */
export function segment(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
}

export function streamUrl(base: string, stream: string): string {
  return `${base}/streams/${segment(stream)}`
}

/** The query as it was sent: in this dialect unknown parameters are passed over, and of repeated ones the first counts. */
export function rawQueryOf({ url }: { url: string }): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : url.slice(at + 1))
}
