/** Checks the Host of a request, so that a web page cannot reach a developer's store through its own host name. */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { addressOf, isLoopback } from '../../src/network.js'

const LOCAL_HOST = /^(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

/**
 * Rejects a malformed Host. On a loopback listener it also rejects an unknown host name (DNS rebinding).
 * @param hosts names to accept in addition to the local ones; undefined accepts any name
 * @throws `host-refused`, `bad-request`
 */
export function checkHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  const { host } = request.headers
  if (host === undefined && request.raw.httpVersion === '1.1') {
    throw new DaybookError('bad-request', 'The Host header is missing. HTTP/1.1 requires one.')
  }
  checkSingle(request.raw.rawHeaders)
  if (host === undefined) return
  if (!/^[\w.:[\]-]*$/.test(host)) {
    const named = host.slice(0, 100)
    throw new DaybookError(
      'bad-request',
      `The Host header is "${named}"; it must be a host name or an address, and a port.`
    )
  }
  if (hosts === undefined) return
  if (LOCAL_HOST.test(host) || hosts.includes(host.replace(/:\d+$/, '').toLowerCase())) return
  const why = `The Host header is "${host.slice(0, 100)}"; this server listens on loopback and accepts local names only.`
  throw new DaybookError('host-refused', `${why} Name further hosts with --allow-host.`)
}

/** Headers that a request may have once; node drops all but the first. */
const SINGLE = new Set(['host', 'content-type', 'authorization'])
const SINGLE_LENGTHS = new Set([...SINGLE].map(({ length }) => length))

/**
 * Rejects a request that repeats a header which may occur once (RFC 9112 3.2): a proxy may have used the other value.
 * Two headers with the same value are harmless, except for Host.
 * @param raw alternating names and values, as in `rawHeaders`
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

/** @param one, other the indexes of two header names in `raw` */
function checkPair(raw: readonly string[], one: number, other: number): void {
  const name = raw[one]?.toLowerCase() as string
  if (!SINGLE.has(name) || name !== raw[other]?.toLowerCase()) return
  if (name !== 'host' && raw[one + 1] === raw[other + 1]) return
  throw new DaybookError('bad-request', `The request has two ${raw[one]} headers; only one is allowed.`)
}

/**
 * Rejects requests that a proxy forwards for another machine. For loopback listeners that run without --trust-proxy.
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
    'A proxy forwarded this request for another machine. To allow that, start the server with --trust-proxy; it then also requires passwords that are not the default ones.'
  )
}
