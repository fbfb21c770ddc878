/** Pages of events on the wire (native contract §2): the document, the ETag, and whether the page is immutable. */
import { crc32 } from 'node:zlib'
import type { ReadQuery } from '../../../schemas/read.js'
import { bytesOf } from '../../../src/latin1.js'
import { limits } from '../../../src/limits.js'
import type { EventPage } from '../../../src/reading/event-read.js'
import type { Source } from '../../../src/reading/source.js'
import { retains } from '../../../src/streams/metadata.js'
import type { Redelivery } from '../../../src/subscriptions/connection.js'
import { hasAge } from './read-request.js'
import { renderEvent } from './recorded-event.js'

/** A page, and for a named consumer, which of its events were sent before. */
export interface ShownPage extends EventPage {
  readonly redelivery?: Redelivery | undefined
}

/** Returns the page as JSON, one byte per character. Each event is on its own line, for users of curl. */
export function renderPage(
  source: Source,
  query: ReadQuery,
  page: ShownPage,
  links: object,
  filtered: boolean
): string {
  const { covered, head } = page
  const order = query.order ?? 'asc'
  const cursor = order === 'asc' ? Math.max(covered.last, covered.first - 1) : Math.min(covered.first, covered.last + 1)
  let text = '{'
  if (source.stream !== undefined) text += `"stream":${bytesOf(JSON.stringify(source.stream))},`
  text += '"events":['
  const { events, redelivery } = page
  for (let i = 0; i < events.length; i++) {
    text += i === 0 ? '\n' : ',\n'
    text += renderEvent(events[i] as (typeof events)[number], redelivery)
  }
  text += `${events.length > 0 ? '\n' : ''}],"cursor":"${cursor}"`
  if (reachesEnd(page)) text += `,"head":${head === -1 ? null : head},"atEnd":true`
  if (filtered) text += `,"scanned":{"from":${covered.first},"to":${covered.last}}`
  text += `,"links":${bytesOf(JSON.stringify(links))}}\n`
  return text
}

/** True if the source has no event after this page. */
export function reachesEnd(page: EventPage): boolean {
  return Math.max(page.covered.last, page.covered.first - 1) >= page.head
}

/**
 * True if this URL will always return the same bytes. It must begin at a number and, if it has an upper bound, end at a
 * number; have `limit` and `format`, and no filter; no retention rule of the stream may hide events later; and the page
 * must not reach the end of the source.
 */
export function isImmutable(query: ReadQuery, page: EventPage, source: Source, filtered: boolean): boolean {
  if (filtered || source.index || retains(source.metadata)) return false
  if (query.limit === undefined || query.format === undefined || reachesEnd(page)) return false
  const numeric = (text: string | undefined) => text !== undefined && /^(-1|\d+)$/.test(text)
  const upper = query.to ?? query.before
  if (hasAge(query) || (upper !== undefined && !numeric(upper))) return false
  return numeric(query.cursor) || numeric(query.order === 'desc' ? upper : (query.from ?? query.after))
}

/** Returns the ETag of a response. @param variant everything except the head that the bytes depend on */
export function entityTag(head: number, variant: string): string {
  return `"${head};${crc32(variant).toString(36)}"`
}

/** True if `If-None-Match` contains this tag by weak comparison (RFC 9110 §8.8.3.2). */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === tag)
}

export function limitOf(query: ReadQuery): number {
  return query.limit ?? limits.page_events_default
}
