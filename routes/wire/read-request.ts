/** The query of a read → what the core reads. Pure. */
import type { ReadQuery } from '../../schemas/read.js'
import { DaybookError } from '../../src/errors.js'
import { Filter } from '../../src/streams/filter.js'
import { checkStreamName } from '../../src/streams/names.js'
import type { ReadRequest } from '../../src/streams/read.js'
import { parseBounds, parseInstant } from './bounds.js'
import { notYet } from './media-types.js'

/** The stream that an address of a stream means, or the log with a filter on one family of lists. */
export interface Address {
  readonly stream: string | undefined
  readonly category?: string
  readonly type?: string
}

/**
 * What a name under /streams/ addresses: `$all` is the log, `$ce-cart` a category, `$et-ItemAdded` a type, everything
 * else a stream. @throws `bad-stream-name`
 */
export function addressOf(name: string): Address {
  if (name === '$all') return { stream: undefined }
  if (name.startsWith('$ce-')) return { stream: undefined, category: name.slice(4) }
  if (name.startsWith('$et-')) return { stream: undefined, type: name.slice(4) }
  checkStreamName(name)
  return { stream: name }
}

/**
 * @param now milliseconds, for ages
 * @throws `bad-cursor`, `bad-instant`, `bad-expression`, `bad-parameter`; `not-implemented` for what comes later
 */
export function toReadRequest(address: Address, query: ReadQuery, now: number): ReadRequest {
  if (query.where !== undefined) throw notYet('Filtering by an expression over data (`where`)')
  if (query.live) throw notYet('Live reading (`live=true`)')
  if (query.consumer !== undefined) throw notYet('Reading as a named consumer')
  return {
    stream: address.stream,
    ...parseBounds(query, now),
    order: query.order ?? 'asc',
    filter: hasFilter(address, query) ? toFilter(address, query, now) : query.system ? EVERYTHING : NO_SYSTEM
  }
}

const NO_SYSTEM = new Filter({ system: false })
const EVERYTHING = new Filter({ system: true })

/** True when something beside system streams may be left out of the answer. */
export function hasFilter(address: Address, query: ReadQuery): boolean {
  if (address.category !== undefined || address.type !== undefined) return true
  for (const name in query) if (FILTERS.has(name)) return true
  return false
}

/** True when the read means another time at every moment: its answer changes though the head does not. */
export function hasAge(query: ReadQuery): boolean {
  const instants = [query.from, query.after, query.to, query.before, query['occurred.from'], query['occurred.to']]
  return instants.some((text) => text !== undefined && /^-\d+[a-z]$/.test(text))
}

const FILTERS = new Set(
  ['type', 'stream']
    .flatMap((name) => [name, `${name}.prefix`, `${name}.regex`, `${name}.not`])
    .concat(['category', 'tag', 'occurred.from', 'occurred.to'])
)

function toFilter(address: Address, query: ReadQuery, now: number): Filter {
  return new Filter({
    type: {
      is: address.type === undefined ? query.type : both([address.type], query.type),
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
    category: address.category === undefined ? query.category : both([address.category], query.category),
    tags: query.tag,
    occurredFrom: occurred('occurred.from', query['occurred.from'], now),
    occurredTo: occurred('occurred.to', query['occurred.to'], now),
    system: query.system ?? false
  })
}

/** What the address and the query both allow. */
function both(one: string[], other: string[] | undefined): string[] {
  return other === undefined ? one : one.filter((value) => other.includes(value))
}

function occurred(name: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  const instant = parseInstant(text, now)
  if (instant !== undefined) return instant
  throw new DaybookError(
    'bad-instant',
    `"${name}" is an instant (RFC 3339, a date, or an age like -15m), not "${text.slice(0, 60)}".`,
    {
      parameter: name
    }
  )
}
