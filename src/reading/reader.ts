/**
 * Reading: a stream, an index stream or the whole log, between two bounds, in either order, filtered. A page and an
 * endless transfer are the same walk; a page stops at its limit.
 */

import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import { type Family, family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { FIRST_READ, SCAN_CHUNK } from '../log/records/read-ahead.js'
import type { IndexStream } from '../streams/index-streams.js'
import { LINK_TYPE, parseLink } from '../streams/links.js'
import type { Filter } from './filter.js'
import type { Visibility } from './retention.js'
import type { Found, Source } from './source.js'
import type { Bounds, Sources } from './sources.js'
import { type Order, type Range, walkList, walkLists, walkLog } from './walk.js'

/** So many events of an index stream are looked at first for one that somebody may read. */
const FIRST_LOOK = 64

export interface ReadRequest extends Bounds {
  readonly filter: Filter
  /** Show the events that links point at. */
  readonly resolveLinks: boolean
  /** On the log: also events that their stream's metadata hides. */
  readonly truncated: boolean
  /** Who reads: others' events are left out of the log and of index streams. Undefined: who sees everything. */
  readonly viewer: Viewer | undefined
}

export interface Page {
  readonly events: readonly Found[]
  /** What the bounds came to, both included. */
  readonly range: Range
  /** The cursors this page has dealt with, matched or not; `first > last` when none. */
  readonly covered: Range
  readonly head: number
}

/** A part of a read: the events found between two cursors, both included, in the order of the read. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly events: readonly Found[]
}

export interface ReaderParts {
  log: Log
  postings: Postings
  sources: Sources
  visibility: Visibility
}

export class Reader {
  readonly #log: Log
  readonly #postings: Postings
  /** Where each read begins. */
  readonly sources: Sources
  readonly #visibility: Visibility

  constructor(parts: ReaderParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.sources = parts.sources
    this.#visibility = parts.visibility
  }

  /** A page: at most `limit` events, 8 MiB, and a bounded number looked at. */
  async page(source: Source, request: ReadRequest, range: Range, limit: number): Promise<Page> {
    const { order, filter } = request
    const plain = filter.passesAll && (source.stream !== undefined || filter.options.system)
    const seen = { first: Math.max(range.first, source.first), last: range.last }
    if (source.kind === family.stream && source.list !== undefined && filter.passesAll && limit <= FIRST_READ) {
      return this.#smallPage(source, source.list, request, range, limit)
    }
    const events: Found[] = []
    let looked = 0
    let bytes = 0
    let reached: number | undefined
    let full = false
    const chunk = plain ? Math.min(limit, SCAN_CHUNK) : SCAN_CHUNK
    reading: for await (const found of this.#walk(source, request, seen, chunk)) {
      for (const one of found) {
        reached = one.cursor
        looked++
        if (one.matches) {
          events.push(one)
          bytes += one.record.bytes.length
        }
        full = events.length >= limit || bytes >= limits.page_bytes_max || looked >= limits.scan_events_max
        if (full) break reading
      }
    }
    return { events, range, covered: coverage(range, order, reached, !full), head: source.head }
  }

  /** A small page of a stream with nothing left out: the places of its events are known, so they are read at once. */
  async #smallPage(source: Source, list: ListHead, request: ReadRequest, range: Range, limit: number): Promise<Page> {
    const { order } = request
    const first = Math.max(range.first, source.first)
    const there = Math.max(0, range.last - first + 1)
    const count = Math.min(limit, there)
    const from = order === 'asc' ? first : range.last - count + 1
    const positions = await this.#postings.positions(family.stream, list, from, count)
    if (order === 'desc') positions.reverse()
    let records = await this.#log.readMany(positions)
    let bytes = 0
    const full = records.findIndex((record) => (bytes += record.bytes.length) >= limits.page_bytes_max)
    if (full >= 0) records = records.slice(0, full + 1)
    const ended = full < 0 && count === there
    const covered = coverage(range, order, records.at(-1)?.number, ended || records.length === 0)
    const events: Found[] = []
    for (const record of records) if (!record.removed) events.push({ record, cursor: record.number })
    return { events: await this.#followLinks(source, request, events), range, covered, head: source.head }
  }

  /**
   * Every event of an ascending or descending read, in spans, to the end of its range.
   * @param chunk how many are looked at for one span, at most
   */
  async *spans(source: Source, request: ReadRequest, range: Range, chunk: number = SCAN_CHUNK): AsyncGenerator<Span> {
    const seen = { first: Math.max(range.first, source.first), last: range.last }
    const step = request.order === 'asc' ? 1 : -1
    const [begin, end] = step === 1 ? [range.first, range.last] : [range.last, range.first]
    let from = begin
    for await (const found of this.#walk(source, request, seen, chunk)) {
      const to = found.at(-1)?.cursor ?? from
      yield { from, to, events: found.filter(({ matches }) => matches) }
      from = to + step
    }
    // What is left holds nothing to look at.
    if ((end - from) * step >= 0) yield { from, to: end, events: [] }
  }

  /** All that a read looks at, in order, and whether it is to be shown. */
  async *#walk(
    source: Source,
    request: ReadRequest,
    range: Range,
    chunk: number
  ): AsyncGenerator<(Found & { matches: boolean })[]> {
    const { filter, order } = request
    const whole = source.stream !== undefined
    // A category also lists the deletions of its streams, which stand in system streams.
    const anyStream = whole && source.kind !== family.category
    const step = order === 'asc' ? 1 : -1
    let number = order === 'asc' ? range.first : range.last
    for await (const records of this.#log.readAhead(this.#positions(source, request, range, chunk))) {
      const asked = source.kind === family.stream ? undefined : await this.seen(records, request)
      let found: (Found & { matches: boolean })[] = []
      for (let i = 0; i < records.length; i++) {
        const record = records[i] as StoredRecord
        const matches = asked?.[i] !== false && filter.matches(record, anyStream)
        if (!whole) {
          found.push({ record, cursor: record.position, matches })
          continue
        }
        const link = source.index ? { stream: source.stream as string, number } : undefined
        found.push({ record, cursor: number, link, matches })
        number += step
      }
      found = await this.#followLinks(source, request, found)
      yield found
    }
  }

  /** Puts the events that links point at in their place; a link to what cannot be seen stays itself. */
  async #followLinks<T extends Found>(source: Source, request: ReadRequest, found: T[]): Promise<T[]> {
    if (!request.resolveLinks || source.stream === undefined) return found
    for (const [i, one] of found.entries()) {
      if (!one.record.hasType(LINK_TYPE)) continue
      const target = await this.linkTarget(one.record, request.viewer)
      if (target === undefined || target === 'gone') continue
      const link = one.link ?? { stream: source.stream, number: one.cursor }
      found[i] = { ...one, record: target, link }
    }
    return found
  }

  /**
   * The event that a link event points at. One level only: a link to a link gives that link.
   * @returns `gone` when it cannot be seen (any more), or not by this viewer; undefined when the event is no link
   */
  async linkTarget(record: StoredRecord, viewer: Viewer | undefined): Promise<StoredRecord | 'gone' | undefined> {
    if (!record.hasType(LINK_TYPE)) return undefined
    const target = parseLink(linkText(record))
    if (target === undefined) return undefined
    if (viewer !== undefined && !(await viewer.mayRead(target.stream))) return 'gone'
    try {
      const source = await this.sources.ifAny(target.stream)
      if (source === undefined) return 'gone'
      return await this.event(source, target.number === -1 ? source.head : target.number)
    } catch (error) {
      if (error instanceof DaybookError && GONE.has(error.code)) return 'gone'
      throw error
    }
  }

  /**
   * The records at numbers or positions, as they stand in the log, seen or not, in rising order; fewer at the end.
   * @throws `body-too-large` when they hold more than one answer may
   */
  async slice({ kind, list, head }: Source, from: number, count: number): Promise<StoredRecord[]> {
    const last = Math.min(from + count - 1, head)
    if (from > last) return []
    const positions =
      list === undefined || kind === undefined
        ? Array.from({ length: last - from + 1 }, (_, i) => from + i)
        : await this.#postings.positions(kind, list, from, last - from + 1)
    const records: StoredRecord[] = []
    let bytes = 0
    for await (const read of this.#log.readAhead([positions])) {
      for (const record of read) bytes += record.bytes.length
      if (bytes > limits.slice_bytes_max) {
        throw new DaybookError(
          'page-too-large',
          `These events have more than ${limits.slice_bytes_max} bytes; ask for fewer.`,
          {
            limit: limits.slice_bytes_max
          }
        )
      }
      records.push(...read)
    }
    return records
  }

  /**
   * Where an index stream stands, for somebody who may read any of what it lists: to others it is not there, so that
   * what types, categories and correlations there are is not told by its name.
   * @throws `stream-not-found` when nothing is listed for them, `index-switched-off`
   */
  async indexSource(stream: string, index: IndexStream, viewer: Viewer | undefined): Promise<Source> {
    const source = await this.sources.ofIndex(stream, index)
    if (source.head >= 0 && (viewer === undefined || (await this.#listsAnyFor(source, viewer)))) return source
    throw new DaybookError('stream-not-found', `Nothing is listed in "${stream}".`, { stream, head: null })
  }

  /**
   * Looks from the end, where most find something at once, and at a bounded number. A longer list counts as one that has
   * something: better that its name is told than that what may be read cannot be.
   */
  async #listsAnyFor({ kind, list, head }: Source, viewer: Viewer): Promise<boolean> {
    if (viewer.seesAllUserStreams) return true
    const range = { first: 0, last: head }
    let left = limits.scan_events_max
    for await (const chunk of walkList(this.#postings, kind as Family, list as ListHead, range, 'desc', FIRST_LOOK)) {
      left -= chunk.length
      if (left < 0 || (await viewer.visible(await this.#log.readMany(chunk))).length > 0) return true
    }
    return false
  }

  /**
   * All that was written to a stream and is still in the log, its tombstone too, whatever its metadata hides: how the
   * server reads what it keeps of itself.
   */
  async *records(stream: string, order: Order): AsyncGenerator<StoredRecord> {
    const list = await this.#postings.head(family.stream, stream)
    if (list === undefined) return
    const range = { first: 0, last: list.count - 1 }
    const positions = walkList(this.#postings, family.stream, list, range, order, SCAN_CHUNK)
    for await (const records of this.#log.readAhead(positions)) {
      for (const record of records) if (!record.removed) yield record
    }
  }

  /** Says of each record of the log or an index stream whether this reader is shown it; undefined when all are. */
  async seen(
    records: readonly StoredRecord[],
    { truncated, viewer }: Pick<ReadRequest, 'truncated' | 'viewer'>
  ): Promise<boolean[] | undefined> {
    // What its stream does not show any more is for those who see everything.
    const shown = truncated && viewer === undefined ? undefined : await this.#visibility.seen(records)
    const read = await viewer?.seen(records)
    if (shown === undefined || read === undefined) return shown ?? read
    return shown.map((one, i) => one && (read[i] as boolean))
  }

  /**
   * One event by its number in a stream or index stream, or by its position in the log.
   * @param viewer who reads the log or an index stream; undefined: who sees everything
   * @throws `event-not-found` when there is none or it cannot be seen, `event-removed`
   */
  async event(source: Source, number: number, viewer?: Viewer): Promise<StoredRecord> {
    const { kind, list, head, stream, first } = source
    if (number > head || number < first || number < 0) throw noEvent(source, number, number > head)
    const position =
      list === undefined ? number : await this.#postings.position(kind as typeof family.stream, list, number)
    const record = await this.#log.read(position)
    const listed = stream === undefined || source.index
    if (listed && viewer !== undefined && !(await viewer.sees(record))) throw noEvent(source, number, false)
    if (record.removed) {
      const place = { position, number: record.number, stream: record.stream }
      throw new DaybookError('event-removed', `Event ${record.number} of "${record.stream}" was removed.`, place)
    }
    if (listed && (await this.#visibility.seen([record]))?.[0] === false) {
      throw noEvent(source, number, false)
    }
    return record
  }

  #positions(
    source: Source,
    { order, filter }: ReadRequest,
    range: Range,
    chunk: number
  ): AsyncIterable<number[]> | Iterable<number[]> {
    if (source.kind !== undefined) {
      return source.list === undefined ? [] : walkList(this.#postings, source.kind, source.list, range, order, chunk)
    }
    const { type, category, stream, tags, system } = filter.options
    if (stream?.is !== undefined) return walkLists(this.#postings, family.stream, stream.is, range, order)
    // The lists of tags, types and categories leave system streams out, and those of types most types of the store's own.
    if (!system && tags !== undefined && tags.length > 0 && this.#postings.isCurrent(family.tag)) {
      return walkLists(this.#postings, family.tag, tags.slice(0, 1), range, order)
    }
    const listed = type?.is?.every((name) => !name.startsWith('$')) && this.#postings.isCurrent(family.type)
    if (!system && listed && type?.is !== undefined) {
      return walkLists(this.#postings, family.type, type.is, range, order)
    }
    if (category !== undefined && this.#postings.isCurrent(family.category)) {
      return walkLists(this.#postings, family.category, category.is, range, order)
    }
    return walkLog(range, order, chunk)
  }
}

/** Why a link leads nowhere. */
const GONE = new Set<string>(['stream-not-found', 'stream-deleted', 'event-not-found', 'event-removed'])

/** What a link event says: text, or a JSON string. */
export function linkText(record: StoredRecord): string {
  const text = record.data?.toString() ?? ''
  if (record.contentType !== undefined || !text.startsWith('"')) return text
  return JSON.parse(text) as string
}

function noEvent({ stream, head }: Source, number: number, beyond: boolean): DaybookError {
  const where = stream === undefined ? 'in the log' : `in "${stream}"`
  const last = head === -1 ? null : head
  const why = beyond
    ? `yet; ${last === null ? 'it is empty' : `its last is ${last}`}`
    : 'any more: its stream does not show it'
  return new DaybookError('event-not-found', `There is no event ${number} ${where} ${why}.`, {
    ...(stream !== undefined && { stream }),
    number,
    head: last
  })
}

/** Which part of the range a page has dealt with. */
function coverage(range: Range, order: Order, reached: number | undefined, ended: boolean): Range {
  if (ended || reached === undefined) return range
  return order === 'asc' ? { first: range.first, last: reached } : { first: reached, last: range.last }
}
