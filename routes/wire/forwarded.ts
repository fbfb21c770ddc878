/** What a proxy that is believed says of the address that its client asked for: X-Forwarded-Proto, -Host, -Port, -Prefix. */
import type { IncomingHttpHeaders } from 'node:http'

const PREFIX_CHARS_MAX = 256
/** Segments of unreserved characters and of escaped bytes beyond ASCII: nothing that ends a path, a string or a header. */
const PREFIX = /^(\/([\w.~-]|%[89a-f][\da-f])+)+\/?$/i
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i

/**
 * The path under which a proxy shows this server, as it wrote it, with a `/` before it. Several proxies in a row each add
 * theirs to the list, the outermost first. What is no plain path (`//host`, `/..`, quotes) counts as none.
 * @returns `''` for none
 */
export function forwardedPath(headers: IncomingHttpHeaders): string {
  const value = headers['x-forwarded-prefix']
  if (value === undefined || value === '') return ''
  const parts = String(value).split(',').map((part) => part.trim()) // biome-ignore format: one step
  const path = parts.map((part) => (part === '' || part.startsWith('/') ? part : `/${part}`)).join('')
  if (path.length > PREFIX_CHARS_MAX || !PREFIX.test(path) || /\/\.{1,2}(\/|$)/.test(path)) return ''
  return path
}

/** As forwardedPath, without a `/` at its end: addresses of this server stand right after it. */
export function forwardedPrefix(headers: IncomingHttpHeaders): string {
  const path = forwardedPath(headers)
  return path.endsWith('/') ? path.slice(0, -1) : path
}

/** Scheme, host and port that the client asked for; undefined where the proxy says nothing, or nothing that makes sense. */
export function forwardedOrigin(headers: IncomingHttpHeaders): {
  readonly scheme: 'http' | 'https' | undefined
  readonly host: string | undefined
  readonly port: string | undefined
} {
  // Of a list the first: what the outermost proxy was asked for.
  const said = (name: string) => String(headers[`x-forwarded-${name}`] ?? '').split(',', 1)[0]?.trim() ?? '' // biome-ignore format: one step
  const scheme = said('proto').toLowerCase()
  return {
    scheme: scheme === 'http' || scheme === 'https' ? scheme : undefined,
    host: HOST.test(said('host')) ? said('host') : undefined,
    port: /^\d{1,5}$/.test(said('port')) ? said('port') : undefined
  }
}
