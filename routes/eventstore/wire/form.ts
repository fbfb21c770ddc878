/** Which form answers on `/streams/…` (native contract §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { AcceptedForms } from '../../wire/accept.js'
import { mediaType, nativeTypes } from '../../wire/media-types.js'
import { isFormat, type Offer, offers } from './codecs.js'
import { hasDialectHeader } from './headers.js'
import { rawQueryOf } from './urls.js'

/** What is read: many events, one event, or the metadata of a stream. */
export type Kind = 'feed' | 'event' | 'metadata'

type Form = 'native' | 'dialect'

/** What decides about a read. */
interface Read {
  readonly headers: IncomingHttpHeaders
  readonly url: string
}

/** Media types that both forms have. HTML that no page answers is JSON in the native form. */
const SHARED = new Set(['application/json', 'text/html'])

const formsByKind: Record<Kind, AcceptedForms<Form>> = {
  feed: formsOf(nativeTypes.feed, offers.feed, ['text/event-stream']),
  event: formsOf(nativeTypes.event, offers.event),
  metadata: formsOf(nativeTypes.metadata, offers.event)
}

/** @param last native media types that a wildcard for text means only when there are no others */
function formsOf(native: readonly string[], { forms: { types } }: Offer, last: string[] = []): AcceptedForms<Form> {
  const dialect = types.filter((type) => !SHARED.has(type))
  return new AcceptedForms<Form>([
    ...['application/json', ...native].map((type) => [type, 'native'] as const),
    ...dialect.map((type) => [type, 'dialect'] as const),
    ...['text/html', ...last].map((type) => [type, 'native'] as const)
  ])
}

/** Parameters that decide; most addresses have neither. */
const DECIDING = /[?&](embed|format)\b/

/** True when a read is to be answered in the Atom dialect. */
export function isDialectRead(request: Read, kind: Kind): boolean {
  return hasDialectHeader(request.headers) || asksForDialect(request, kind)
}

/** True when a read is to be answered in the Atom dialect, whether or not it has a header of the dialect. */
export function asksForDialect({ headers, url }: Read, kind: Kind): boolean {
  if (DECIDING.test(url)) {
    const query = rawQueryOf({ url })
    if (query.has('embed')) return true
    const format = query.get('format')
    if (format !== null && format !== '') return isFormat(format)
  }
  const { accept, upgrade } = headers
  if (accept === undefined || accept === '*/*' || isWebSocket(upgrade)) return false
  if (kind !== 'feed' && isJsonAlone(accept)) return true
  // Types that neither form has are refused in the dialect's words, those of ours in ours.
  const form = formsByKind[kind].preferred(accept)
  return form === undefined ? !/\bvnd\.daybook\.|\bapplication\/(problem\+)?json\b/i.test(accept) : form === 'dialect'
}

/** True for one media type, JSON, without a weight. */
function isJsonAlone(accept: string): boolean {
  return mediaType(accept) === 'application/json' && !/,|;\s*q\s*=/i.test(accept)
}

/** Other upgrades (`h2c`, which some clients offer with each request) do not change what is asked for. */
export function isWebSocket(upgrade: string | undefined): boolean {
  return upgrade?.toLowerCase() === 'websocket'
}

/** True when an append is to be answered in the Atom dialect: its body's type or one of its headers says so. */
export function isDialectAppend(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type']?.trim().toLowerCase() ?? ''
  return /^application\/(vnd\.(eventstore|kurrent)\.|atom\+xml)/.test(type) || hasDialectHeader(headers)
}

/**
 * True when the caller is a client of EventStoreDB: it sends a header or a media type that only EventStoreDB has, or
 * prefers the dialect's form of events.
 */
export function isDialectClient(headers: IncomingHttpHeaders): boolean {
  const { accept, 'content-type': sent } = headers
  if (hasDialectHeader(headers) || namesProduct(accept) || namesProduct(sent)) return true
  return accept !== undefined && accept !== '*/*' && formsByKind.feed.preferred(accept) === 'dialect'
}

function namesProduct(header: string | undefined): boolean {
  return header !== undefined && /\bvnd\.(eventstore|kurrent)\./i.test(header)
}
