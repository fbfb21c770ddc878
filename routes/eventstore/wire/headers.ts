/** Request headers of the dialect (reference 2), each also under the newer product's name. */
import type { IncomingHttpHeaders } from 'node:http'
import { limits } from '../../../src/limits.js'
import type { ExpectedVersion } from '../../../src/writing/plan/expected-version.js'
import { badHeader } from './refusal.js'

/** True when a header says that a request is one of the dialect. */
export function hasDialectHeader(headers: IncomingHttpHeaders): boolean {
  for (const name in headers) if (name.startsWith('es-') || name.startsWith('kurrent-')) return true
  return false
}

/** @param name without its prefix: `expectedversion` @returns undefined when it is absent or blank */
function dialectHeader(headers: IncomingHttpHeaders, name: string): string | undefined {
  for (const full of [`es-${name}`, `kurrent-${name}`]) {
    const value = headers[full]
    if (typeof value === 'string' && value.trim() !== '') return value.trim()
  }
  return undefined
}

function truth(value: string | undefined, name: string): boolean | undefined {
  if (value === undefined) return undefined
  const word = value.toLowerCase()
  if (word !== 'true' && word !== 'false') throw badHeader(name)
  return word === 'true'
}

/**
 * `ES-ExpectedVersion`; absent is any version.
 * @throws a 400; `-3`, which EventStoreDB accepts and answers without doing anything, is one
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

/** `ES-RequireLeader`, `ES-RequireMaster`: one node is the leader, so only their form counts. @throws a 400 */
export function checkRequireLeader(headers: IncomingHttpHeaders): void {
  if (dialectHeader(headers, 'requiremaster')?.toLowerCase() === 'true') return
  truth(dialectHeader(headers, 'requireleader'), 'ES-RequireLeader')
  truth(dialectHeader(headers, 'requiremaster'), 'ES-RequireLeader')
}

/** `ES-ResolveLinkTos`. @throws a 400 */
export function resolveLinks(headers: IncomingHttpHeaders, usual: boolean): boolean {
  return truth(dialectHeader(headers, 'resolvelinktos'), 'ES-ResolveLinkTos') ?? usual
}

/** `ES-HardDelete`. @throws a 400 */
export function hardDelete(headers: IncomingHttpHeaders): boolean {
  return truth(dialectHeader(headers, 'harddelete'), 'ES-HardDelete') ?? false
}

/** `ES-LongPoll`, seconds, at most an hour; undefined when it does not wait. @throws a 400 */
export function longPoll(headers: IncomingHttpHeaders): number | undefined {
  const text = dialectHeader(headers, 'longpoll')
  if (text === undefined) return undefined
  if (!/^\+?\d{1,10}$/.test(text) || Number(text) < 1 || Number(text) > 0x7fff_ffff) throw badHeader('ES-LongPoll')
  return Math.min(Number(text), limits.long_poll_seconds_max)
}

/**
 * `ES-EventType`, as UTF-8 when that is what was sent, else as Latin-1.
 * @param raw names and values in turn, as they came: node joins two lines with a space that EventStoreDB does not add
 */
export function eventType(raw: readonly string[]): string | undefined {
  const lines = raw.filter((_, i) => i % 2 === 1 && /^(es|kurrent)-eventtype$/i.test(raw[i - 1] as string))
  const text = lines.join(',')
  if (text === '') return undefined
  const decoded = Buffer.from(text, 'latin1').toString('utf8')
  return decoded.includes('\ufffd') ? text : decoded
}

/** `ES-EventId`, lower-case with hyphens. @throws a 400 */
export function eventId(headers: IncomingHttpHeaders): string | undefined {
  const text = dialectHeader(headers, 'eventid')
  if (text === undefined) return undefined
  const id = parseGuid(text)
  if (id === undefined || id === EMPTY_GUID) throw badHeader('ES-EventId')
  return id
}

export const EMPTY_GUID = '00000000-0000-0000-0000-000000000000'

/** A UUID in any usual spelling: hyphens or none, in braces or parentheses. @returns lower-case with hyphens */
export function parseGuid(text: string): string | undefined {
  const bare = /^(?:\{(.*)\}|\((.*)\)|(.*))$/s.exec(text.trim())
  const inner = bare?.[1] ?? bare?.[2] ?? bare?.[3] ?? ''
  if (/^[0-9a-f]{32}$/i.test(inner)) {
    return inner.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(inner) ? inner.toLowerCase() : undefined
}
