/**
 * Addresses of reads, and the links of a page (native contract §2). A link repeats the bounds of the request and adds
 * the cursor to continue from as a separate parameter. So the end of one page does not narrow the bounds of the others.
 */
import type { ReadQuery } from '../../../schemas/read.js'
import { limits } from '../../../src/limits.js'
import { asksLast, type Bound, type Bounds, type EventPage } from '../../../src/reading/event-read.js'
import type { Source } from '../../../src/reading/source.js'
import type { Order, Range } from '../../../src/reading/walk.js'
import { isAge } from './cursor-bounds.js'

/** Order of the parameters in links. It is fixed, so that a page has a single address. */
const ORDER = [
  'from', 'after', 'to', 'before', 'cursor', 'order', 'limit',
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

/** A page, with everything its links depend on. */
export interface LinkedPage {
  readonly path: string
  readonly query: ReadQuery
  readonly bounds: Bounds
  /** The bounds of the request as cursors, regardless of where the page began. */
  readonly requested: Range
  readonly page: EventPage
  readonly source: Source
}

/** Returns the URL of a read, with its parameters in the fixed order. */
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
 * Returns the links of a page, all within the bounds of the request. `next` is the next page in the order of the
 * request; `newer` and `older` are the neighbours in the log; `first` and `last` are the pages at the two ends of the
 * bounds; `live` is a live read after this page.
 */
export function pageLinks(linked: LinkedPage): PageLinks {
  const { path, query, page, source } = linked
  const { covered } = page
  const { from: _, after: __, to: ___, before: ____, cursor: _____, order = 'asc', ...others } = query
  // Bounds and order are first in every address, so the parameters after them are rendered once for all links.
  const rest = parametersOf(others)
  const { limit, format, ...filters } = others
  const liveParameters = limit === undefined && format === undefined ? rest : parametersOf(filters)
  const link = (place: string, towards: Order) => `${path}?${place}order=${towards}${rest === '' ? '' : `&${rest}`}`
  const newest = Math.max(covered.last, covered.first - 1)
  const oldest = Math.min(covered.first, covered.last + 1)
  const { lower, upper, first, ends } = boundsOf(linked, newest)
  const newer = link(`${lower}${upper}cursor=${newest}&`, 'asc')
  const older = oldest > Math.max(first, source.first) ? link(`${ends}${upper}cursor=${oldest}&`, 'desc') : undefined
  const next = order === 'asc' ? (newest < linked.requested.last ? newer : undefined) : older
  // A live read only moves forward, so its cursor can be its lower bound too. A lower bound in the future must stay.
  const isInFuture = linked.bounds.lower?.kind === 'instant' && first > source.head
  const begin = isInFuture ? `${lower}cursor=${newest}&` : `after=${newest}&`
  return {
    self: readUrl(path, query),
    ...(next !== undefined && { next }),
    newer,
    ...(older !== undefined && { older }),
    first: link(ends + upper, ends === lower ? 'asc' : 'desc'),
    last: link(ends + upper, 'desc'),
    live: `${path}?${begin}${upper}${liveParameters === '' ? '' : `${liveParameters}&`}live=true`,
    ...(source.stream !== undefined && !source.index && { metadata: `${path}/metadata` })
  }
}

/** The bounds of a page as text for its links; each is empty or ends in `&`. */
interface LinkBounds {
  /** Lower bound of the newer pages. */
  readonly lower: string
  readonly upper: string
  /** First cursor within the bounds of the request. */
  readonly first: number
  /** Lower bound of the older, first and last pages. It differs from `lower` while the last event is searched for. */
  readonly ends: string
}

/**
 * The bounds of the request, for links. A bound is replaced by its cursor if that cursor cannot change any more, or if
 * the bound is `end` or an age. A bound that later events may still reach stays as it is in the request; an age becomes
 * its instant.
 */
function boundsOf({ query, bounds, requested, page, source }: LinkedPage, newest: number): LinkBounds {
  const upper = upperText(query, bounds.upper, requested.last, source.head)
  if (!asksLast(bounds)) {
    const lower = lowerText(query, bounds.lower, requested.first, source.head)
    return { lower, upper, first: requested.first, ends: lower }
  }
  // The request asks for the last event only. Until it is found, the newer pages continue the search.
  const [found] = page.events
  if (found !== undefined) {
    const lower = `from=${found.cursor}&`
    return { lower, upper, first: found.cursor, ends: lower }
  }
  return { lower: `from=${newest + 1}&`, upper, first: 0, ends: 'from=end&' }
}

function lowerText(query: ReadQuery, bound: Bound | undefined, first: number, head: number): string {
  if (bound === undefined) return ''
  const isPinned =
    bound.kind === 'end' || (bound.kind === 'instant' && (first <= head || isAge(query.from ?? query.after)))
  return isPinned ? `from=${first}&` : `${parametersOf({ from: query.from, after: query.after })}&`
}

function upperText(query: ReadQuery, bound: Bound | undefined, last: number, head: number): string {
  if (bound === undefined) return ''
  if (bound.kind === 'instant' && last < head) return `to=${Math.max(last, -1)}&`
  const { to, before } = query
  if (bound.kind !== 'instant' || !isAge(to ?? before)) return `${parametersOf({ to, before })}&`
  const instant = new Date(bound.value).toISOString()
  return `${parametersOf(bound.included ? { to: instant } : { before: instant })}&`
}

/**
 * Returns the `Link` header (RFC 8288): `next`, `prev`, `first` and `last` in reading order. Each link repeats the
 * query, and clients and proxies refuse large headers. So the header ends before the first link that does not fit; the
 * page itself has all links.
 * @returns undefined if no link fits
 */
export function linkHeader(links: PageLinks, order: Order): string | undefined {
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
