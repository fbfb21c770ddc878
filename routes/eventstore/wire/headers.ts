/** Request headers of the dialect (reference 2), each also with the prefix of the newer product name. */
import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../../../src/limits.js'
import type { ExpectedVersion } from '../../../src/writing/plan/expected-version.js'
import { badHeader } from './refusal.js'

/** Returns true when a request has a header of the dialect. */
export function hasDialectHeader(headers: IncomingHttpHeaders): boolean {
  for (const name in headers) if (name.startsWith('es-') || name.startsWith('kurrent-')) return true
  return false
}

/** Returns a header; undefined when it is absent or blank. @param name without its prefix, e.g. `expectedversion` */
function dialectHeader(headers: IncomingHttpHeaders, name: string): string | undefined {
  for (const full of [`es-${name}`, `kurrent-${name}`]) {
    const value = headers[full]
    if (typeof value === 'string' && value.trim() !== '') return value.trim()
  }
  return undefined
}

function parseBoolean(value: string | undefined, name: string): boolean | undefined {
  if (value === undefined) return undefined
  const word = value.toLowerCase()
  if (word !== 'true' && word !== 'false') throw badHeader(name)
  return word === 'true'
}

/**
 * Returns `ES-ExpectedVersion`; any version when it is absent.
 * @throws a 400, also for `-3`, which EventStoreDB accepts without writing anything
 */
export function expectedVersion(headers: IncomingHttpHeaders): ExpectedVersion {
  const text = dialectHeader(headers, 'expectedversion')
  if (text === undefined) return 'any'
  const version = /^[+-]?\d{1,40}$/.test(text) ? BigInt(text.replace('+', '')) : -5n
  if (version === -2n) return 'any'
  if (version === -1n) return 'no_stream'
  if (version === -4n) return 'stream_exists'
  if (version < 0n || version > 0x7fff_ffff_ffff_ffffn) throw badHeader('ES-ExpectedVersion')
  return Number(version)
}

/** Validates `ES-RequireLeader` and `ES-RequireMaster`. A single node is always the leader. @throws a 400 */
export function checkRequireLeader(headers: IncomingHttpHeaders): void {
  if (dialectHeader(headers, 'requiremaster')?.toLowerCase() === 'true') return
  parseBoolean(dialectHeader(headers, 'requireleader'), 'ES-RequireLeader')
  parseBoolean(dialectHeader(headers, 'requiremaster'), 'ES-RequireLeader')
}

/** Returns `ES-ResolveLinkTos`, or the default. @throws a 400 */
export function resolveLinks(headers: IncomingHttpHeaders, byDefault: boolean): boolean {
  return parseBoolean(dialectHeader(headers, 'resolvelinktos'), 'ES-ResolveLinkTos') ?? byDefault
}

/** Returns `ES-HardDelete`; false by default. @throws a 400 */
export function hardDelete(headers: IncomingHttpHeaders): boolean {
  return parseBoolean(dialectHeader(headers, 'harddelete'), 'ES-HardDelete') ?? false
}

/** Returns `ES-LongPoll` in seconds, capped at one hour; undefined when it is absent. @throws a 400 */
export function longPoll(headers: IncomingHttpHeaders): number | undefined {
  const text = dialectHeader(headers, 'longpoll')
  if (text === undefined) return undefined
  if (!/^\+?\d{1,10}$/.test(text) || Number(text) < 1 || Number(text) > 0x7fff_ffff) throw badHeader('ES-LongPoll')
  return Math.min(Number(text), limits.long_poll_seconds_max)
}

/**
 * Returns `ES-EventType`, decoded as UTF-8 if it is valid UTF-8, otherwise as Latin-1.
 * @param raw alternating names and values, as received: node joins repeated headers with `, `, EventStoreDB with `,`
 */
export function eventType(raw: readonly string[]): string | undefined {
  const lines = raw.filter((_, i) => i % 2 === 1 && /^(es|kurrent)-eventtype$/i.test(raw[i - 1] as string))
  const text = lines.join(',')
  if (text === '') return undefined
  const decoded = Buffer.from(text, 'latin1').toString('utf8')
  return decoded.includes('\ufffd') ? text : decoded
}

/** Returns `ES-EventId`, in lower case with hyphens. @throws a 400 */
export function eventId(headers: IncomingHttpHeaders): string | undefined {
  const text = dialectHeader(headers, 'eventid')
  if (text === undefined) return undefined
  const id = parseGuid(text)
  if (id === undefined || id === EMPTY_GUID) throw badHeader('ES-EventId')
  return id
}

export const EMPTY_GUID = '00000000-0000-0000-0000-000000000000'

/**
 * Parses a UUID with or without hyphens, braces or parentheses. Returns it in lower case with hyphens; undefined when
 * it is invalid.
 */
export function parseGuid(text: string): string | undefined {
  const bare = /^(?:\{(.*)\}|\((.*)\)|(.*))$/s.exec(text.trim())
  const inner = bare?.[1] ?? bare?.[2] ?? bare?.[3] ?? ''
  if (/^[0-9a-f]{32}$/i.test(inner)) {
    return inner.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(inner) ? inner.toLowerCase() : undefined
}
