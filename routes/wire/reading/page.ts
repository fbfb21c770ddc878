/** A page of events on the wire (native contract §2): its document, its ETag, and whether it is immutable. */
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

/** A page, and which of its events a consumer's reader was sent before. */
export interface ShownPage extends EventPage {
  readonly redelivery?: Redelivery | undefined
}

/** The page as JSON, each character a byte. `\n` between events so that curl shows one a line. */
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

/** True when there is nothing newer than this page. */
export function reachesEnd(page: EventPage): boolean {
  return Math.max(page.covered.last, page.covered.first - 1) >= page.head
}

/**
 * True when this URL will give the same bytes for ever: numbers pin where it begins and, if it has an upper bound, where
 * it ends; it has `limit` and `format`, no filter, and no retention rule of the stream may hide events later; and the
 * page is full or reaches its far bound.
 */
export function isImmutable(query: ReadQuery, page: EventPage, source: Source, filtered: boolean): boolean {
  if (filtered || source.index || retains(source.metadata)) return false
  if (query.limit === undefined || query.format === undefined || reachesEnd(page)) return false
  const numeric = (text: string | undefined) => text !== undefined && /^(-1|\d+)$/.test(text)
  const upper = query.to ?? query.before
  if (hasAge(query) || (upper !== undefined && !numeric(upper))) return false
  return numeric(query.cursor) || numeric(query.order === 'desc' ? upper : (query.from ?? query.after))
}

/** ETag of an answer. @param variant everything that its bytes depend on beside the head */
export function entityTag(head: number, variant: string): string {
  return `"${head};${crc32(variant).toString(36)}"`
}

/** True when `If-None-Match` names this tag, weakly compared (RFC 9110 §8.8.3.2). */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return header.split(',').some((one) => one.trim().replace(/^W\//, '') === tag)
}

export function limitOf(query: ReadQuery): number {
  return query.limit ?? limits.page_events_default
}
