/**
 * Reading: one stream or the whole log, between two bounds, in either order, filtered. A page and an endless
 * transfer are the same walk; a page stops at its limit.
 */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { type Family, family, type ListHead, type StoredRecord } from '../log/format.js'
import { FIRST_READ, type Log, SCAN_CHUNK } from '../log/log.js'
import type { Postings } from '../log/postings.js'
import type { Filter } from './filter.js'
import { lowestIndex, type Order, type Range, walkList, walkLists, walkLog } from './walk.js'

/**
 * A bound of a read. A cursor is an event number on one stream and a position on the whole log; an instant is
 * compared with `created`, milliseconds.
 */
export type Bound =
  | { readonly kind: 'cursor'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'instant'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'end' }

export interface ReadRequest {
  /** Undefined: the whole log. */
  readonly stream: string | undefined
  readonly lower: Bound | undefined
  readonly upper: Bound | undefined
  readonly order: Order
  readonly filter: Filter
}

/** What is read from: how far it goes now, and the event at an index (a number, or a position). */
export interface Source {
  /** Undefined: the log itself, and lists of categories and types. */
  readonly stream: string | undefined
  readonly kind: Family | undefined
  /** Last index there is, -1 when there is none. */
  readonly head: number
  readonly list: ListHead | undefined
}

export interface Page {
  readonly records: readonly StoredRecord[]
  /** What the bounds came to, both included. */
  readonly range: Range
  /** The indexes this page has dealt with, matched or not; `first > last` when none. */
  readonly covered: Range
  readonly head: number
}

export class Reader {
  readonly #log: Log
  readonly #postings: Postings

  constructor(log: Log, postings: Postings) {
    this.#log = log
    this.#postings = postings
  }

  /**
   * Where a read stands now.
   * @throws `stream-not-found` when the stream was never written
   */
  async source(stream: string | undefined): Promise<Source> {
    if (stream === undefined) return { stream, kind: undefined, head: this.#log.head, list: undefined }
    const known = this.#postings.headInMemory(family.stream, stream)
    const list = known ? { ...known } : known === null ? undefined : await this.#postings.head(family.stream, stream)
    if (list === undefined) {
      throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
    }
    return { stream, kind: family.stream, head: list.count - 1, list }
  }

  /**
   * Turns bounds into the first and last index of a read.
   * @throws `cursor-beyond-head` when the lower bound lies past what there is
   */
  async resolve(source: Source, request: Pick<ReadRequest, 'lower' | 'upper' | 'order'>): Promise<Range> {
    const { lower, upper, order } = request
    const { head } = source
    let first = 0
    if (lower?.kind === 'end') first = order === 'asc' ? head + 1 : Math.max(head, 0)
    else if (lower?.kind === 'cursor') {
      first = lower.included ? Math.max(lower.value, 0) : lower.value + 1
      if (first > head + 1) {
        throw new DaybookError(
          'cursor-beyond-head',
          `The cursor ${lower.value} lies beyond the last event (${head}). A cursor only comes from what was read: this may be another log than the one it came from.`,
          { cursor: String(lower.value), head: head === -1 ? null : head, log: this.#log.id }
        )
      }
    } else if (lower?.kind === 'instant') {
      first = await this.#firstCreated(source, lower.included ? lower.value : lower.value + 1)
    }
    let last = head
    if (upper?.kind === 'cursor') last = Math.min(upper.included ? upper.value : upper.value - 1, head)
    else if (upper?.kind === 'instant') {
      last = (await this.#firstCreated(source, upper.included ? upper.value + 1 : upper.value)) - 1
    }
    return { first, last }
  }

  /** A page: at most `limit` events, 8 MiB, and a bounded number looked at. */
  async page(source: Source, request: ReadRequest, range: Range, limit: number): Promise<Page> {
    const { order, filter } = request
    const whole = request.stream !== undefined
    const plain = whole ? filter.passesAll : filter.passesAll && filter.options.system
    if (source.list !== undefined && plain && limit <= FIRST_READ) {
      return this.#smallPage(source, source.list, order, range, limit)
    }
    const records: StoredRecord[] = []
    let looked = 0
    let bytes = 0
    let reached: number | undefined
    const positions = this.#positions(source, request, range, plain ? Math.min(limit, SCAN_CHUNK) : SCAN_CHUNK)
    reading: for await (const read of this.#log.readAhead(positions)) {
      for (const record of read) {
        reached = whole ? record.number : record.position
        looked++
        if (filter.matches(record, whole)) {
          records.push(record)
          bytes += record.bytes.length
        }
        if (records.length >= limit || bytes >= limits.page_bytes_max || looked >= limits.scan_events_max) break reading
      }
    }
    return {
      records,
      range,
      covered: coverage(range, order, reached, this.#ended(reached, records, limit, bytes, looked)),
      head: source.head
    }
  }

  /** A small page of a stream with nothing left out: the places of its events are known, so they are read at once. */
  async #smallPage(source: Source, list: ListHead, order: Order, range: Range, limit: number): Promise<Page> {
    const count = Math.max(0, Math.min(limit, range.last - range.first + 1))
    const from = order === 'asc' ? range.first : range.last - count + 1
    const positions = await this.#postings.positions(family.stream, list, from, count)
    if (order === 'desc') positions.reverse()
    let records = await this.#log.readMany(positions)
    let bytes = 0
    const full = records.findIndex((record) => (bytes += record.bytes.length) >= limits.page_bytes_max)
    if (full >= 0) records = records.slice(0, full + 1)
    const ended = full < 0 && count === range.last - range.first + 1
    const covered = coverage(range, order, records.at(-1)?.number, ended || records.length === 0)
    return { records: records.filter((record) => !record.removed), range, covered, head: source.head }
  }

  /** True when the walk ran out rather than being stopped: then everything in the range was dealt with. */
  #ended(
    reached: number | undefined,
    records: readonly StoredRecord[],
    limit: number,
    bytes: number,
    looked: number
  ): boolean {
    if (reached === undefined) return true
    return records.length < limit && bytes < limits.page_bytes_max && looked < limits.scan_events_max
  }

  /** Every event of a read, in chunks, to the end of its range. */
  async *events(source: Source, request: ReadRequest, range: Range): AsyncGenerator<StoredRecord[]> {
    const whole = request.stream !== undefined
    for await (const records of this.#log.readAhead(this.#positions(source, request, range, SCAN_CHUNK))) {
      yield records.filter((record) => request.filter.matches(record, whole))
    }
  }

  /**
   * Where the list of a category or type stands now; empty when there is none.
   * @throws `index-switched-off`
   */
  async indexSource(kind: Family, name: string): Promise<Source> {
    if (!this.#postings.keeps(kind)) {
      throw new DaybookError(
        'index-switched-off',
        'The server runs with --run-projections=none and keeps no such list.'
      )
    }
    const list = await this.#postings.head(kind, name)
    return { stream: undefined, kind, head: (list?.count ?? 0) - 1, list }
  }

  /**
   * One event by its number in a stream or list, or by its position in the log.
   * @throws `event-not-found` past the head, `event-removed`
   */
  async event({ kind, list, head, stream }: Source, index: number): Promise<StoredRecord> {
    if (index > head) {
      const where = stream === undefined ? 'in the log' : `in "${stream}"`
      const last = head === -1 ? null : head
      throw new DaybookError(
        'event-not-found',
        `There is no event ${index} ${where} yet; ${last === null ? 'it is empty' : `its last is ${last}`}.`,
        {
          ...(stream !== undefined && { stream }),
          number: index,
          head: last
        }
      )
    }
    const position = list === undefined ? index : await this.#postings.position(kind as Family, list, index)
    return this.#present(await this.#log.read(position))
  }

  #present(record: StoredRecord): StoredRecord {
    if (!record.removed) return record
    const { position, number, stream } = record
    throw new DaybookError('event-removed', `Event ${number} of "${stream}" was removed.`, { position, number, stream })
  }

  #positions(
    source: Source,
    { order, filter }: ReadRequest,
    range: Range,
    chunk: number
  ): AsyncIterable<number[]> | Iterable<number[]> {
    if (source.list !== undefined) return walkList(this.#postings, family.stream, source.list, range, order, chunk)
    const { type, category, stream, system } = filter.options
    if (stream?.is !== undefined) return walkLists(this.#postings, family.stream, stream.is, range, order)
    // The lists of types and categories leave system streams out.
    if (!system && type?.is !== undefined && this.#postings.keeps(family.type)) {
      return walkLists(this.#postings, family.type, type.is, range, order)
    }
    if (category !== undefined && this.#postings.keeps(family.category)) {
      return walkLists(this.#postings, family.category, category, range, order)
    }
    return walkLog(range, order, chunk)
  }

  /** The first index whose `created` is at or after an instant. `created` never goes back, so halving finds it. */
  async #firstCreated(source: Source, instant: number): Promise<number> {
    return lowestIndex(source.head + 1, async (index) => {
      const position =
        source.list === undefined ? index : await this.#postings.position(family.stream, source.list, index)
      return (await this.#log.read(position)).created >= instant
    })
  }
}

/** Which part of the range a page has dealt with. */
function coverage(range: Range, order: Order, reached: number | undefined, ended: boolean): Range {
  if (ended) return range
  const index = reached as number
  return order === 'asc' ? { first: range.first, last: index } : { first: index, last: range.last }
}
