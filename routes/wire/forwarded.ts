/** The public address of the server as a trusted proxy reports it: X-Forwarded-Proto, -Host, -Port and -Prefix. */
import type { IncomingHttpHeaders } from 'node:http'

const PREFIX_CHARS_MAX = 256
/**
 * Segments of unreserved characters and escaped non-ASCII bytes only. So the prefix can be put into a path, a JSON
 * string or a header without escaping.
 */
const PREFIX = /^(\/([\w.~-]|%[89a-f][\da-f])+)+\/?$/i
const HOST = /^([\w.-]+|\[[\da-f:.]+\])(:\d{1,5})?$/i

/**
 * Returns the path under which a proxy publishes this server, with a leading `/`. Several proxies in a row each add
 * their path to the header, the outermost first. A value that is not a plain path (`//host`, `/..`, quotes) is ignored.
 * @returns `''` if there is none
 */
export function forwardedPath(headers: IncomingHttpHeaders): string {
  const value = headers['x-forwarded-prefix']
  if (value === undefined || value === '') return ''
  const parts = String(value).split(',').map((part) => part.trim()) // biome-ignore format: one step
  const path = parts.map((part) => (part === '' || part.startsWith('/') ? part : `/${part}`)).join('')
  if (path.length > PREFIX_CHARS_MAX || !PREFIX.test(path) || /\/\.{1,2}(\/|$)/.test(path)) return ''
  return path
}

/** Returns forwardedPath without a trailing `/`, so that addresses of this server can be appended to it. */
export function forwardedPrefix(headers: IncomingHttpHeaders): string {
  const path = forwardedPath(headers)
  return path.endsWith('/') ? path.slice(0, -1) : path
}

/** Returns the scheme, host and port of the client's request; each is undefined if its header is missing or invalid. */
export function forwardedOrigin(headers: IncomingHttpHeaders): {
  readonly scheme: 'http' | 'https' | undefined
  readonly host: string | undefined
  readonly port: string | undefined
} {
  // The first value of a list comes from the outermost proxy.
  const header = (name: string) => String(headers[`x-forwarded-${name}`] ?? '').split(',', 1)[0]?.trim() ?? '' // biome-ignore format: one step
  const scheme = header('proto').toLowerCase()
  return {
    scheme: scheme === 'http' || scheme === 'https' ? scheme : undefined,
    host: HOST.test(header('host')) ? header('host') : undefined,
    port: /^\d{1,5}$/.test(header('port')) ? header('port') : undefined
  }
}
