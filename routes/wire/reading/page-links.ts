/**
 * Addresses of reads, and the links of a page (native contract §2). A link carries the bounds that the reader asked for
 * and the cursor where it goes on as different parameters, so that what one page ends at bounds no other.
 */
import type { ReadQuery } from '../../../schemas/read.js'
import { limits } from '../../../src/limits.js'
import { asksLast, type Bound, type Bounds, type EventPage } from '../../../src/reading/event-read.js'
import type { Source } from '../../../src/reading/source.js'
import type { Order, Range } from '../../../src/reading/walk.js'
import { isAge } from './cursor-bounds.js'

/** Links carry their parameters in this order, so that one page has one address. */
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

/** A page whose links are made. */
export interface LinkedPage {
  readonly path: string
  readonly query: ReadQuery
  readonly bounds: Bounds
  /** What the bounds came to, wherever the page went on. */
  readonly asked: Range
  readonly page: EventPage
  readonly source: Source
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
 * Links of a page, all within the bounds that the reader asked for. `next` goes on in the order of the request; `newer`
 * and `older` follow the log; `first` and `last` begin at the ends; `live` goes on after this page.
 */
export function pageLinks(linked: LinkedPage): PageLinks {
  const { path, query, page, source } = linked
  const { covered } = page
  const { from: _, after: __, to: ___, before: ____, cursor: _____, order = 'asc', ...others } = query
  // Bounds and order stand first in every address, so what follows them is written once.
  const rest = parametersOf(others)
  const { limit, format, ...filters } = others
  const lasting = limit === undefined && format === undefined ? rest : parametersOf(filters)
  const link = (place: string, towards: Order) => `${path}?${place}order=${towards}${rest === '' ? '' : `&${rest}`}`
  const newest = Math.max(covered.last, covered.first - 1)
  const oldest = Math.min(covered.first, covered.last + 1)
  const { lower, upper, first, ends } = boundsOf(linked, newest)
  const newer = link(`${lower}${upper}cursor=${newest}&`, 'asc')
  const older = oldest > Math.max(first, source.first) ? link(`${ends}${upper}cursor=${oldest}&`, 'desc') : undefined
  const next = order === 'asc' ? (newest < linked.asked.last ? newer : undefined) : older
  // What is live never goes back, so one bound says both. An instant that is still to come stays.
  const isToCome = linked.bounds.lower?.kind === 'instant' && first > source.head
  const begin = isToCome ? `${lower}cursor=${newest}&` : `after=${newest}&`
  return {
    self: readUrl(path, query),
    ...(next !== undefined && { next }),
    newer,
    ...(older !== undefined && { older }),
    first: link(ends + upper, ends === lower ? 'asc' : 'desc'),
    last: link(ends + upper, 'desc'),
    live: `${path}?${begin}${upper}${lasting === '' ? '' : `${lasting}&`}live=true`,
    ...(source.stream !== undefined && !source.index && { metadata: `${path}/metadata` })
  }
}

/** The bounds of a page as its links carry them, each empty or with a `&` at its end. */
interface LinkBounds {
  /** Of pages that follow. */
  readonly lower: string
  readonly upper: string
  /** First cursor that was asked for. */
  readonly first: number
  /** The lower bound of pages before this one, and of the first and last: another while the last event is looked for. */
  readonly ends: string
}

/**
 * The bounds that the reader asked for. What cannot change any more is written as the number that it came to; `end` and
 * ages are, too. A bound that later events may still reach stays as it was asked for, an age as its instant.
 */
function boundsOf({ query, bounds, asked, page, source }: LinkedPage, newest: number): LinkBounds {
  const upper = upperText(query, bounds.upper, asked.last, source.head)
  if (!asksLast(bounds)) {
    const lower = lowerText(query, bounds.lower, asked.first, source.head)
    return { lower, upper, first: asked.first, ends: lower }
  }
  // The last event is the whole of what was asked for. As long as it was not found, the search goes on.
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
 * `Link` header: the page's links in reading order (RFC 8288). Each repeats the query, so that a long one leaves out
 * those that do not fit, the last first: clients and proxies refuse large headers. The page itself has all of them.
 * @returns undefined when none fits
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
