/** A page of events on the wire (native contract §2): its document, its links, its ETag, and whether it is immutable. */
import { crc32 } from 'node:zlib'
import type { ReadQuery } from '../../../schemas/read.js'
import { bytesOf } from '../../../src/latin1.js'
import { limits } from '../../../src/limits.js'
import type { EventPage } from '../../../src/reading/event-read.js'
import type { Source } from '../../../src/reading/source.js'
import { retains } from '../../../src/streams/metadata.js'
import { renderEvent } from './recorded-event.js'

/** Links carry their parameters in this order, so that one page has one address. */
const ORDER = [
  'from', 'after', 'to', 'before', 'order', 'limit',
  'type', 'type.prefix', 'type.regex', 'type.not',
  'stream', 'stream.prefix', 'stream.regex', 'stream.not', 'category',
  'tag', 'occurred.from', 'occurred.to', 'system', 'truncated', 'resolveLinks', 'format', 'log'
] as const // biome-ignore format: a table

export interface PageLinks {
  self: string
  next?: string
  newer: string
  older?: string
  first: string
  last: string
  live: string
  metadata?: string
}

/** The URL of a read, its parameters in the fixed order. */
export function readUrl(path: string, query: ReadQuery): string {
  const text = parametersOf(query)
  return text === '' ? path : `${path}?${text}`
}

function parametersOf(query: ReadQuery): string {
  let text = ''
  for (const name of ORDER) {
    const value = query[name]
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) {
      if (text !== '') text += '&'
      text += `${name}=${encodeURIComponent(String(one)).replaceAll('%3A', ':').replaceAll('%2C', ',')}`
    }
  }
  return text
}

/**
 * Links of a page. `next` goes on in the order of the request; `newer` and `older` follow the log. Each begins exactly
 * where this page ended; the bound on the other side is pinned to the number that it resolved to.
 */
export function pageLinks(path: string, query: ReadQuery, page: EventPage, source: Source): PageLinks {
  const { covered, range } = page
  const { from, after, to, before, order = 'asc', ...others } = query
  // Bounds and order stand first in every address, so what follows them is written once.
  const rest = parametersOf(others)
  const { limit, format, ...filters } = others
  const lasting = limit === undefined && format === undefined ? rest : parametersOf(filters)
  const link = (bounds: string, towards: 'asc' | 'desc') =>
    `${path}?${bounds}order=${towards}${rest === '' ? '' : `&${rest}`}`
  const floor = from !== undefined || after !== undefined ? `from=${range.first}&` : ''
  const ceiling = to !== undefined || before !== undefined ? `to=${Math.max(range.last, -1)}&` : ''
  const newest = Math.max(covered.last, covered.first - 1)
  const oldest = Math.min(covered.first, covered.last + 1)
  const newer = link(`after=${newest}&${ceiling}`, 'asc')
  const older = oldest > Math.max(range.first, source.first) ? link(`${floor}before=${oldest}&`, 'desc') : undefined
  const next = order === 'asc' ? (newest < range.last ? newer : undefined) : older
  return {
    self: readUrl(path, query),
    ...(next !== undefined && { next }),
    newer,
    ...(older !== undefined && { older }),
    first: link(floor + ceiling, 'asc'),
    last: link(floor + ceiling, 'desc'),
    live: `${path}?after=${newest}&${ceiling}${lasting === '' ? '' : `${lasting}&`}live=true`,
    ...(source.stream !== undefined && !source.index && { metadata: `${path}/metadata` })
  }
}

/**
 * `Link` header: the page's links in reading order (RFC 8288). Each repeats the query, so that a long one leaves out
 * those that do not fit, the last first: clients and proxies refuse large headers. The page itself has all of them.
 * @returns undefined when none fits
 */
export function linkHeader(links: PageLinks, order: 'asc' | 'desc'): string | undefined {
  const [prev, first, last] =
    order === 'asc' ? [links.older, links.first, links.last] : [links.newer, links.last, links.first]
  let text = ''
  for (const [rel, url] of Object.entries({ next: links.next, prev, first, last })) {
    if (url === undefined) continue
    const longer = `${text}${text === '' ? '' : ', '}<${url}>; rel="${rel}"`
    if (longer.length > limits.link_header_bytes_max) break
    text = longer
  }
  return text === '' ? undefined : text
}

/** The page as JSON, each character a byte. `\n` between events so that curl shows one a line. */
export function renderPage(
  source: Source,
  query: ReadQuery,
  page: EventPage,
  links: object,
  filtered: boolean
): string {
  const { covered, head } = page
  const order = query.order ?? 'asc'
  const cursor = order === 'asc' ? Math.max(covered.last, covered.first - 1) : Math.min(covered.first, covered.last + 1)
  let text = '{'
  if (source.stream !== undefined) text += `"stream":${bytesOf(JSON.stringify(source.stream))},`
  text += '"events":['
  const { events } = page
  for (let i = 0; i < events.length; i++) {
    text += i === 0 ? '\n' : ',\n'
    text += renderEvent(events[i] as (typeof events)[number])
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
 * True when this URL will give the same bytes for ever: it has numeric bounds, `limit` and `format`, no filter, and no
 * retention rule of the stream that may hide events later; and the page is full or reaches its far bound.
 */
export function isImmutable(query: ReadQuery, page: EventPage, source: Source, filtered: boolean): boolean {
  if (filtered || source.index || retains(source.metadata)) return false
  if (query.limit === undefined || query.format === undefined || reachesEnd(page)) return false
  const numeric = (text: string | undefined) => text !== undefined && /^(-1|\d+)$/.test(text)
  if (query.order === 'desc') return numeric(query.to) || numeric(query.before)
  const lower = numeric(query.from) || numeric(query.after)
  const upperPinned =
    query.to === undefined && query.before === undefined ? true : numeric(query.to) || numeric(query.before)
  return lower && upperPinned
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
