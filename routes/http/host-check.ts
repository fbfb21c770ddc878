/** Under which names a server answers, and for whom: a web page must not reach a developer's store by a name of its own. */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { addressOf, isLoopback } from '../../src/network.js'

const LOCAL_HOST = /^(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/**
 * Refuses a Host that is malformed, and one that a loopback listener is not known by (DNS rebinding).
 * @param hosts names beside the local ones; undefined: any
 * @throws `host-refused`, `bad-request`
 */
export function checkHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  const { host } = request.headers
  if (host === undefined && request.raw.httpVersion === '1.1') {
    throw new DaybookError('bad-request', 'A request of HTTP/1.1 names its Host.')
  }
  checkSingle(request.raw.rawHeaders)
  if (host === undefined) return
  if (!/^[\w.:[\]-]*$/.test(host)) throw new DaybookError('bad-request', 'The Host is a name or address and a port.')
  if (hosts === undefined) return
  if (LOCAL_HOST.test(host) || hosts.includes(host.replace(/:\d+$/, '').toLowerCase())) return
  throw new DaybookError(
    'host-refused',
    `This server listens on loopback and does not answer to "${host.slice(0, 100)}".`
  )
}

/** Headers of which a request has one at most; node drops all but the first. */
const SINGLE = new Set(['host', 'content-type', 'authorization'])
const SINGLE_LENGTHS = new Set([...SINGLE].map(({ length }) => length))

/**
 * Refuses a header that stands twice and may stand once (RFC 9112 3.2): a proxy may have believed the other one. One with
 * the same value, other than a Host, harms nobody.
 * @param raw names and values in turn
 * @throws `bad-request`
 */
function checkSingle(raw: readonly string[]): void {
  for (let at = 2; at < raw.length; at += 2) {
    const { length } = raw[at] as string
    if (!SINGLE_LENGTHS.has(length)) continue
    for (let before = 0; before < at; before += 2) {
      if (raw[before]?.length === length) checkPair(raw, before, at)
    }
  }
}

/** @param one, other the indexes of two headers */
function checkPair(raw: readonly string[], one: number, other: number): void {
  const name = raw[one]?.toLowerCase() as string
  if (!SINGLE.has(name) || name !== raw[other]?.toLowerCase()) return
  if (name !== 'host' && raw[one + 1] === raw[other + 1]) return
  throw new DaybookError('bad-request', `A request has one ${raw[one]} header, and this one has two.`)
}

/**
 * Refuses requests that a proxy forwards for another machine. Only for a loopback listener that was not told of a proxy.
 * @throws `host-refused`
 */
export function checkDirect({ headers }: FastifyRequest): void {
  const named = [
    ...String(headers['x-forwarded-for'] ?? '').split(','),
    ...[...(headers.forwarded ?? '').matchAll(/for="?([^;,"]*)/gi)].map(([, address = '']) => address)
  ]
  if (named.every((address) => address.trim() === '' || isLoopback(addressOf(address.trim())))) return
  throw new DaybookError(
    'host-refused',
    'This came through a proxy, for somebody else than this machine. Start the server with --trust-proxy: then it also wants passwords that not everybody knows.'
  )
}
