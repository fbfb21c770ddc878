/** Translates the query parameters of a read to a ReadRequest or a LiveQuery. Pure functions. */
import type { ReadQuery } from '../../../schemas/read.js'
import type { Viewer } from '../../../src/access/viewer.js'
import { DaybookError } from '../../../src/errors.js'
import type { ReadRequest } from '../../../src/reading/event-read.js'
import type { Expressions } from '../../../src/reading/expressions/expressions.js'
import { Filter, type FilterOptions } from '../../../src/reading/filter.js'
import type { Address } from '../../../src/reading/sources.js'
import { indexStreamOf } from '../../../src/streams/index-streams.js'
import { type CategoryRule, checkStreamName } from '../../../src/streams/names.js'
import type { LiveQuery } from '../../../src/subscriptions/live-query.js'
import { notYet } from '../media-types.js'
import { isAge, parseBounds, parseInstant } from './cursor-bounds.js'
import { readUrl } from './page-links.js'

/**
 * Returns the source of a name under /streams/: `$all` is the log, a name like `$ce-cart` is an index stream, every
 * other name is a stream.
 * @throws `bad-stream-name`
 */
export function streamAddress(name: string): Address {
  if (name === '$all') return { stream: undefined }
  checkStreamName(name)
  return { stream: name, index: indexStreamOf(name) }
}

/** The context in which a query is evaluated. */
export interface ReadContext {
  /** The caller, whose rights limit the read; undefined: may see everything. */
  readonly viewer: Viewer | undefined
  /** Current time in milliseconds; ages in the query count from here. */
  readonly now: number
  readonly rule: CategoryRule
  /** Compiles the regular expressions of the query. */
  readonly expressions: Expressions
}

/**
 * Returns the read that a query describes.
 * @throws `bad-cursor`, `bad-instant`, `bad-expression`, `bad-parameter`; `not-implemented` for `where`
 */
export function toReadRequest(query: ReadQuery, context: ReadContext): ReadRequest {
  const { viewer, now } = context
  if (query.where !== undefined) throw notYet('Filtering by an expression over data (`where`)')
  // No spread of parseBounds' result: a spread takes 2 µs, and every read runs this code.
  const { lower, upper, cursor } = parseBounds(query, now)
  return {
    lower,
    upper,
    cursor,
    order: query.order ?? 'asc',
    filter: hasFilter(query) || query.record ? toFilter(query, context) : query.system ? EVERYTHING : NO_SYSTEM,
    resolveLinks: query.resolveLinks ?? true,
    truncated: query.truncated ?? false,
    viewer
  }
}

/**
 * Returns the query of a live read. Live reads with the same key share the delivery of new events.
 * @throws as toReadRequest
 */
export function liveQueryOf(address: Address, query: ReadQuery, context: ReadContext): LiveQuery {
  const request = toReadRequest(query, context)
  const { format: _, limit: __, order: ___, ...filters } = withoutBounds(query)
  // The same age is a different instant for each reader, so the key contains the instants.
  const { occurredFrom, occurredTo } = request.filter.options
  const source = readUrl(pathOf(address), filters)
  return {
    address,
    request: { ...request, lower: undefined, upper: undefined, cursor: undefined },
    source,
    key: `${source} ${occurredFrom} ${occurredTo} ${context.viewer?.key ?? ''}`
  }
}

/** Returns the path of the log or of a stream. */
export function pathOf({ stream }: Address): string {
  return stream === undefined ? '/events' : `/streams/${encodeURIComponent(stream)}`
}

/** Returns a query without its bounds, its cursor, and the identity of the log of these cursors. */
export function withoutBounds(query: ReadQuery): ReadQuery {
  const { from: _, after: __, to: ___, before: ____, cursor: _____, log: ______, ...others } = query
  return others
}

const NO_SYSTEM = new Filter({ system: false })
const EVERYTHING = new Filter({ system: true })

/** True if the query filters events by type, stream, category, tag or `occurred`. */
export function hasFilter(query: ReadQuery): boolean {
  for (const name in query) if (FILTERS.has(name)) return true
  return false
}

/** Refuses `record`, which only NDJSON reads that are not live support. @throws `bad-parameter` */
export function checkNoRecord({ record }: ReadQuery): void {
  if (!record) return
  throw new DaybookError(
    'bad-parameter',
    '"record" is only allowed in NDJSON reads (format=ndjson) that are not live.',
    {
      parameter: 'record'
    }
  )
}

/** Refuses `lastEventId` in a read that is not live. @throws `bad-parameter` */
export function checkNoLastEventId({ lastEventId }: ReadQuery): void {
  if (lastEventId === undefined) return
  throw new DaybookError('bad-parameter', '"lastEventId" is only allowed in live reads; use "after" for a page.', {
    parameter: 'lastEventId'
  })
}

/** True if the query contains an age: its result changes with time, even if no event is appended. */
export function hasAge(query: ReadQuery): boolean {
  const instants = [query.from, query.after, query.to, query.before, query['occurred.from'], query['occurred.to']]
  return instants.some(isAge)
}

const FILTERS = new Set(
  ['type', 'stream']
    .flatMap((name) => [name, `${name}.prefix`, `${name}.regex`, `${name}.not`])
    .concat(['category', 'tag', 'occurred.from', 'occurred.to'])
)

function toFilter(query: ReadQuery, { now, rule, expressions }: ReadContext): Filter {
  const options: FilterOptions = {
    type: {
      is: query.type,
      prefix: query['type.prefix'],
      regex: query['type.regex'],
      not: query['type.not']
    },
    stream: {
      is: query.stream,
      prefix: query['stream.prefix'],
      regex: query['stream.regex'],
      not: query['stream.not']
    },
    category: query.category && { is: query.category, rule },
    tags: query.tag,
    occurredFrom: occurred('occurred.from', query['occurred.from'], now),
    occurredTo: occurred('occurred.to', query['occurred.to'], now),
    system: query.system ?? false,
    removed: query.record
  }
  return new Filter(options, expressions)
}

function occurred(name: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  const instant = parseInstant(text, now)
  if (instant !== undefined) return instant
  throw new DaybookError(
    'bad-instant',
    `"${name}" must be an instant (RFC 3339, a date, or an age like -15m), not "${text.slice(0, 60)}".`,
    {
      parameter: name
    }
  )
}
