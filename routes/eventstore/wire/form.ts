/** Chooses between the native form and the Atom dialect on `/streams/…` (native contract §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { AcceptedForms } from '../../wire/accept.js'
import { mediaType, nativeTypes } from '../../wire/media-types.js'
import { isFormat, type Offer, offers } from './codecs.js'
import { hasDialectHeader } from './headers.js'
import { rawQueryOf } from './urls.js'

/** The kind of a read: many events, one event, or the metadata of a stream. */
export type Kind = 'feed' | 'event' | 'metadata'

type Form = 'native' | 'dialect'

/** The parts of a read request that choose its form. */
interface Read {
  readonly headers: IncomingHttpHeaders
  readonly url: string
}

/** Media types of both forms. A request for HTML that gets no HTML page is answered as JSON in the native form. */
const SHARED = new Set(['application/json', 'text/html'])

const formsByKind: Record<Kind, AcceptedForms<Form>> = {
  feed: formsOf(nativeTypes.feed, offers.feed, ['text/event-stream']),
  event: formsOf(nativeTypes.event, offers.event),
  metadata: formsOf(nativeTypes.metadata, offers.event)
}

/** @param last native media types that the wildcard `text/*` selects only as a last resort */
function formsOf(native: readonly string[], { forms: { types } }: Offer, last: string[] = []): AcceptedForms<Form> {
  const dialect = types.filter((type) => !SHARED.has(type))
  return new AcceptedForms<Form>([
    ...['application/json', ...native].map((type) => [type, 'native'] as const),
    ...dialect.map((type) => [type, 'dialect'] as const),
    ...['text/html', ...last].map((type) => [type, 'native'] as const)
  ])
}

/** Quick test for the query parameters that choose the form; most requests have none. */
const DECIDING = /[?&](embed|format)\b/

/** Returns true when a read must be answered in the Atom dialect. */
export function isDialectRead(request: Read, kind: Kind): boolean {
  return hasDialectHeader(request.headers) || asksForDialect(request, kind)
}

/** Returns true when the query or Accept of a read selects the Atom dialect. Ignores the headers of the dialect. */
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
  // If no form has an accepted type, the dialect sends the refusal, except for native types and JSON.
  const form = formsByKind[kind].preferred(accept)
  return form === undefined ? !/\bvnd\.daybook\.|\bapplication\/(problem\+)?json\b/i.test(accept) : form === 'dialect'
}

/** Returns true when Accept is JSON only, without a weight. */
function isJsonAlone(accept: string): boolean {
  return mediaType(accept) === 'application/json' && !/,|;\s*q\s*=/i.test(accept)
}

/** Returns true for an upgrade to WebSocket. Others are ignored: some clients offer `h2c` with every request. */
export function isWebSocket(upgrade: string | undefined): boolean {
  return upgrade?.toLowerCase() === 'websocket'
}

/** Returns true when the content type or another header of an append selects the Atom dialect. */
export function isDialectAppend(headers: IncomingHttpHeaders): boolean {
  const type = headers['content-type']?.trim().toLowerCase() ?? ''
  return /^application\/(vnd\.(eventstore|kurrent)\.|atom\+xml)/.test(type) || hasDialectHeader(headers)
}

/**
 * Returns true for a client of EventStoreDB: it sends a header or media type that only EventStoreDB has, or prefers the
 * dialect's form of events.
 */
export function isDialectClient(headers: IncomingHttpHeaders): boolean {
  const { accept, 'content-type': sent } = headers
  if (hasDialectHeader(headers) || namesProduct(accept) || namesProduct(sent)) return true
  return accept !== undefined && accept !== '*/*' && formsByKind.feed.preferred(accept) === 'dialect'
}

function namesProduct(header: string | undefined): boolean {
  return header !== undefined && /\bvnd\.(eventstore|kurrent)\./i.test(header)
}
