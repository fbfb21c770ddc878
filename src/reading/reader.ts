/**
 * Reads a stream, an index stream or the whole log between two bounds, in either order, filtered. Pages and endless
 * transfers use the same walk; a page stops at its limit.
 */

import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import { family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { READ_BYTES, type ReadAheadOptions, SCAN_CHUNK } from '../log/records/read-ahead.js'
import type { SharedTurns } from '../time/turns.js'
import { asksLast, coverage, type EventPage, type ReadRequest, type ReadResult, type Span } from './event-read.js'
import { Filtering } from './filtering.js'
import { LinkTargets } from './link-targets.js'
import type { ReadMemory } from './read-memory.js'
import { positionsOf } from './read-positions.js'
import type { Retention } from './retention.js'
import { noEvent, type Source } from './source.js'
import type { Sources } from './sources.js'
import { VisibleSources } from './visible-sources.js'
import { type Order, type Range, walkList } from './walk.js'

/** A page of at most this many events of a stream is read in a single step. */
const SMALL_PAGE = 32

/** Records examined in one step when most are visible but many may be hidden. */
const SEARCH_CHUNK = 32

/** How much is read in one step, and how memory for it is reserved. `chunk`: maximum records examined for one span. */
export type ScanOptions = ReadAheadOptions & { readonly chunk?: number | undefined }

export interface ReaderParts {
  log: Log
  postings: Postings
  sources: Sources
  retention: Retention
  /** Turns of the event loop in which filters do their work. */
  turns: SharedTurns
}

export class Reader {
  readonly #log: Log
  readonly #postings: Postings
  /** Finds the sources of reads. */
  readonly sources: Sources
  /** Finds the sources of reads as a given viewer sees them. */
  readonly visible: VisibleSources
  readonly links: LinkTargets
  readonly #retention: Retention
  readonly #turns: SharedTurns

  constructor(parts: ReaderParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.sources = parts.sources
    this.links = new LinkTargets(parts.sources, this)
    this.#retention = parts.retention
    this.#turns = parts.turns
    this.visible = new VisibleSources(parts.log, parts.postings, parts.sources)
  }

  /**
   * Returns a page of at most `limit` events and about `page_bytes_max` bytes. The page ends early after examining
   * `scan_events_max` records, after `page_steps_max` steps of filter work, or when the client disconnects.
   * @param eventsMax maximum number of events; a read of the last event returns at most one
   * @param memory reserves memory for the page; undefined: memory is not counted
   * @throws `overloaded` when there is not enough memory; `log-damaged`
   */
  async page(
    source: Source,
    request: ReadRequest,
    range: Range,
    eventsMax: number,
    memory?: ReadMemory
  ): Promise<EventPage> {
    const { order, filter } = request
    const last = asksLast(request)
    const limit = last ? 1 : eventsMax
    const plain = filter.passesAll && (source.stream !== undefined || filter.options.system)
    const visible = { first: Math.max(range.first, source.first), last: range.last }
    if (source.kind === family.stream && source.list !== undefined && filter.passesAll && limit <= SMALL_PAGE) {
      const page = await this.#smallPage(source, source.list, request, range, { limit, memory })
      if (page !== undefined) return page
    }
    const events: ReadResult[] = []
    let examined = 0
    let bytes = 0
    let reached: number | undefined
    let full = false
    const chunkMin = plain && source.kind === family.stream ? 1 : SEARCH_CHUNK
    const chunk = plain || last ? Math.min(Math.max(limit, chunkMin), SCAN_CHUNK) : SCAN_CHUNK
    const reserve = memory && ((more: number) => memory.need(bytes + more))
    const scan = { chunk, wanted: plain || last ? limit : Infinity, reserve }
    const filtering = this.#filteringOf(source, request)
    reading: for await (const found of this.#walk(source, request, visible, scan, filtering)) {
      for (const one of found) {
        reached = one.cursor
        examined++
        if (one.matches) {
          events.push(one)
          bytes += one.record.bytes.length
        }
        full = events.length >= limit || bytes >= limits.page_bytes_max || examined >= limits.scan_events_max
        if (full) break reading
      }
      full = filtering.steps >= limits.page_steps_max || request.gone?.aborted === true
      if (full) break
    }
    return { events, range, covered: coverage(range, order, reached, !full), head: source.head }
  }

  /**
   * Reads a small page of a stream without a filter in a single step, because the positions of its events are known.
   * @returns undefined when the events may be large, when all of them were removed, or when links must be followed
   */
  async #smallPage(
    source: Source,
    list: ListHead,
    request: ReadRequest,
    range: Range,
    { limit, memory }: { readonly limit: number; readonly memory: ReadMemory | undefined }
  ): Promise<EventPage | undefined> {
    const { order } = request
    const first = Math.max(range.first, source.first)
    const available = Math.max(0, range.last - first + 1)
    const count = Math.min(limit, available)
    const from = order === 'asc' ? first : range.last - count + 1
    const positions = await this.#postings.positions(family.stream, list, from, count)
    if (order === 'desc') positions.reverse()
    const estimate = this.#log.boundOf(positions)
    const bound = typeof estimate === 'number' ? estimate : await estimate
    if (bound > READ_BYTES) return undefined
    const reserved = memory?.need(bound)
    if (reserved !== undefined) await reserved
    let records = await this.#log.readMany(positions)
    let bytes = 0
    const full = records.findIndex((record) => (bytes += record.bytes.length) >= limits.page_bytes_max)
    if (full >= 0) records = records.slice(0, full + 1)
    const ended = full < 0 && count === available
    const covered = coverage(range, order, records.at(-1)?.number, ended || records.length === 0)
    const events: ReadResult[] = []
    for (const record of records) if (!record.removed) events.push({ record, cursor: record.number })
    const allRemoved = events.length === 0 && records.length > 0
    if (allRemoved || this.links.anyIn(source, request, events)) return undefined
    return { events, range, covered, head: source.head }
  }

  /**
   * Yields all matching events of a read as spans that cover its range. A read of the last event stops at that event.
   * @throws `overloaded` when there is not enough memory; `log-damaged`
   */
  async *spans(source: Source, request: ReadRequest, range: Range, scan: ScanOptions = {}): AsyncGenerator<Span> {
    const visible = { first: Math.max(range.first, source.first), last: range.last }
    const step = request.order === 'asc' ? 1 : -1
    const [begin, end] = step === 1 ? [range.first, range.last] : [range.last, range.first]
    let from = begin
    const filtering = this.#filteringOf(source, request)
    for await (const found of this.#walk(source, request, visible, scan, filtering)) {
      const last = asksLast(request) ? found.find(({ matches }) => matches) : undefined
      if (last !== undefined) return yield { from, to: last.cursor, events: [last] }
      const to = found.at(-1)?.cursor ?? from
      yield { from, to, events: found.filter(({ matches }) => matches) }
      from = to + step
    }
    // The rest of the range contains no records.
    if ((end - from) * step >= 0) yield { from, to: end, events: [] }
  }

  #filteringOf({ stream, kind }: Source, { filter }: ReadRequest): Filtering {
    // A category also lists the deletions of its streams, which are stored in system streams.
    return new Filtering(filter, stream !== undefined && kind !== family.category, this.#turns)
  }

  /** Yields every record that a read examines, in order, with whether it matches. */
  async *#walk(
    source: Source,
    request: ReadRequest,
    range: Range,
    { chunk = SCAN_CHUNK, ...ahead }: ScanOptions,
    filtering: Filtering
  ): AsyncGenerator<(ReadResult & { matches: boolean })[]> {
    const { order } = request
    const whole = source.stream !== undefined
    const step = order === 'asc' ? 1 : -1
    let number = order === 'asc' ? range.first : range.last
    const positions = positionsOf(this.#postings, source, request, range, chunk)
    for await (const records of this.#log.readAhead(positions, ahead)) {
      const shown = source.kind === family.stream ? undefined : await this.seen(records, request)
      const turn = shown && filtering.countHidden(shown)
      if (turn !== undefined) await turn
      for (let at = 0; at < records.length; ) {
        const next = filtering.next(records, at, shown)
        const answers = next instanceof Promise ? await next : next
        const found: (ReadResult & { matches: boolean })[] = []
        for (const matches of answers) {
          const record = records[at++] as StoredRecord
          if (!whole) {
            found.push({ record, cursor: record.position, matches })
            continue
          }
          const link = source.index ? { stream: source.stream as string, number } : undefined
          found.push({ record, cursor: number, link, matches })
          number += step
        }
        yield* this.links.follow(source, request, found, ahead.reserve)
      }
    }
  }

  /**
   * Returns the records at the numbers or positions of a range in ascending order, hidden ones included. Returns fewer
   * at the end of the source, or when they exceed `page_bytes_max` bytes: then those that come first in `order`.
   * @throws `overloaded` when there is not enough memory; `log-damaged`
   */
  async slice({ kind, list, head }: Source, range: Range, order: Order, memory?: ReadMemory): Promise<StoredRecord[]> {
    const { first } = range
    const last = Math.min(range.last, head)
    if (first > last) return []
    const positions =
      list === undefined || kind === undefined
        ? Array.from({ length: last - first + 1 }, (_, i) => first + i)
        : await this.#postings.positions(kind, list, first, last - first + 1)
    if (order === 'desc') positions.reverse()
    const records: StoredRecord[] = []
    let bytes = 0
    const reserve = memory && ((more: number) => memory.need(bytes + more))
    reading: for await (const read of this.#log.readAhead([positions], { reserve })) {
      for (const record of read) {
        records.push(record)
        bytes += record.bytes.length
        if (bytes >= limits.page_bytes_max) break reading
      }
    }
    return order === 'desc' ? records.reverse() : records
  }

  /**
   * Yields every record of a stream that is still in the log, including its tombstone and records hidden by metadata.
   * The server reads its own streams this way.
   */
  async *records(stream: string, order: Order): AsyncGenerator<StoredRecord> {
    const list = await this.#postings.head(family.stream, stream)
    if (list === undefined) return
    const range = { first: 0, last: list.count - 1 }
    const walk = { kind: family.stream, head: list, range, order, chunk: SCAN_CHUNK }
    for await (const records of this.#log.readAhead(walkList(this.#postings, walk))) {
      for (const record of records) if (!record.removed) yield record
    }
  }

  /** Returns for each record of the log or an index stream whether the viewer may see it; undefined if all are visible. */
  async seen(
    records: readonly StoredRecord[],
    { truncated, viewer }: Pick<ReadRequest, 'truncated' | 'viewer'>
  ): Promise<boolean[] | undefined> {
    // Only a viewer without restrictions may see events that their stream's metadata hides.
    const shown = truncated && viewer === undefined ? undefined : await this.#retention.seen(records)
    const read = await viewer?.seen(records)
    if (shown === undefined || read === undefined) return shown ?? read
    return shown.map((one, i) => one && (read[i] as boolean))
  }

  /**
   * Returns one event by its number in a stream or index stream, or by its position in the log.
   * @param viewer restricts reads of the log or an index stream; undefined sees everything
   * @param memory reserves memory for the event; undefined: memory is not counted
   * @throws `overloaded` when there is not enough memory; `event-not-found` when the event does not exist or is not
   * visible; `event-removed`
   */
  async event(source: Source, number: number, viewer?: Viewer, memory?: ReadMemory): Promise<StoredRecord> {
    const { kind, list, head, stream, first } = source
    if (number > head || number < first || number < 0) throw noEvent(source, number, number > head)
    const position =
      list === undefined ? number : await this.#postings.position(kind as typeof family.stream, list, number)
    if (memory !== undefined) {
      const bound = this.#log.boundOf([position])
      const reserved = memory.need(typeof bound === 'number' ? bound : await bound)
      if (reserved !== undefined) await reserved
    }
    const record = await this.#log.read(position)
    const listed = stream === undefined || source.index
    if (listed && viewer !== undefined && !(await viewer.sees(record))) throw noEvent(source, number, false)
    if (record.removed) {
      const place = { position, number: record.number, stream: record.stream }
      throw new DaybookError('event-removed', `Event ${record.number} of "${record.stream}" was removed.`, place)
    }
    if (listed && (await this.#retention.seen([record]))?.[0] === false) {
      throw noEvent(source, number, false)
    }
    return record
  }
}
