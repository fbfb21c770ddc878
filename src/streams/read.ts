/**
 * Reading: a stream, an index stream or the whole log, between two bounds, in either order, filtered. A page and an
 * endless transfer are the same walk; a page stops at its limit.
 */
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { family, type ListHead, type StoredRecord } from '../log/format.js'
import { FIRST_READ, type Log, SCAN_CHUNK } from '../log/log.js'
import type { Postings } from '../log/postings.js'
import type { Filter } from './filter.js'
import type { IndexStream } from './index-streams.js'
import { LINK_TYPE, parseLink } from './links.js'
import { firstVisible, NO_METADATA } from './metadata.js'
import { isMetastream, originalOf } from './names.js'
import { type Found, logSource, type Source } from './source.js'
import type { StreamState, StreamStates } from './states.js'
import type { Visibility } from './visibility.js'
import { lowestIndex, type Order, type Range, walkList, walkLists, walkLog } from './walk.js'

/**
 * A bound of a read. A cursor is an event number on one stream and a position on the whole log; an instant is
 * compared with `created`, milliseconds.
 */
export type Bound =
  | { readonly kind: 'cursor'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'instant'; readonly value: number; readonly included: boolean }
  | { readonly kind: 'end' }

/** What is read: a stream, an index stream, or the log. */
export interface Address {
  /** Undefined: the log. */
  readonly stream: string | undefined
  readonly index?: IndexStream | undefined
}

export interface ReadRequest {
  readonly lower: Bound | undefined
  readonly upper: Bound | undefined
  readonly order: Order
  readonly filter: Filter
  /** Show the events that links point at. */
  readonly resolveLinks: boolean
  /** On the log: also events that their stream's metadata hides. */
  readonly truncated: boolean
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
  states: StreamStates
  visibility: Visibility
}

export class Reader {
  readonly #log: Log
  readonly #postings: Postings
  readonly #states: StreamStates
  readonly #visibility: Visibility

  constructor(parts: ReaderParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.#states = parts.states
    this.#visibility = parts.visibility
  }

  /** Where the log stands now, as far as the index has followed it. */
  logSource(): Source {
    return logSource(this.#log.announced)
  }

  /**
   * Where a stream stands now.
   * @throws `stream-not-found` when there is nothing to see: it was never written, or deleted; `stream-deleted` when it
   * was deleted for ever
   */
  source(stream: string): Source | Promise<Source> {
    return this.#plainSource(stream) ?? this.#sourceOrNone(stream)
  }

  /** Most streams have nothing but events, and their heads are in memory. */
  #plainSource(stream: string): Source | undefined {
    const list = this.#postings.headInMemory(family.stream, stream)
    if (!list || this.#states.concerns(isMetastream(stream) ? originalOf(stream) : stream)) return undefined
    return {
      stream,
      kind: family.stream,
      index: false,
      list: { ...list },
      head: list.count - 1,
      first: 0,
      metadata: NO_METADATA,
      metadataVersion: -1
    }
  }

  async #sourceOrNone(stream: string): Promise<Source> {
    const source = await this.#sourceIfAny(stream)
    if (source === undefined) {
      throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
    }
    return source
  }

  async #sourceIfAny(stream: string): Promise<Source | undefined> {
    const described = isMetastream(stream) ? originalOf(stream) : stream
    const known = this.#postings.headInMemory(family.stream, stream)
    const list = known ? { ...known } : known === null ? undefined : await this.#postings.head(family.stream, stream)
    const plain = { stream, kind: family.stream, index: false, list, metadata: NO_METADATA, metadataVersion: -1 }
    if (!this.#states.concerns(described)) {
      return list === undefined ? undefined : { ...plain, head: list.count - 1, first: 0 }
    }
    const state = await this.#states.of(described)
    if (state.tombstone) throw deletedForEver(described)
    if (list === undefined) return undefined
    const head = list.count - 1
    // Of metadata only the newest counts (reference 11).
    if (described !== stream) return { ...plain, head, first: head }
    const { metadata, version: metadataVersion } = state
    if (metadata.deleted) {
      throw new DaybookError('stream-not-found', `"${stream}" was deleted; an append brings it back.`, {
        stream,
        head,
        deleted: true
      })
    }
    return { ...plain, head, first: await this.#firstSeen(list, state), metadata, metadataVersion }
  }

  async #firstSeen(list: ListHead, state: StreamState): Promise<number> {
    const first = firstVisible(state.metadata, list.count - 1)
    const since = this.#visibility.seenSince(state)
    if (since === undefined) return first
    const young = await this.#firstCreated(family.stream, list, since)
    return Math.max(first, young)
  }

  /**
   * Where an index stream stands now; empty when nothing was ever listed there.
   * @throws `index-switched-off`
   */
  async indexSource(stream: string, { kind, name }: IndexStream): Promise<Source> {
    if (!this.#postings.keeps(kind)) {
      throw new DaybookError(
        'index-switched-off',
        'The server runs with --run-projections=none and keeps no such list.'
      )
    }
    const list = await this.#postings.head(kind, name)
    const head = (list?.count ?? 0) - 1
    return { stream, kind, index: true, list, head, first: 0, metadata: NO_METADATA, metadataVersion: -1 }
  }

  /** @throws `stream-deleted` when a stream, or the one that a metastream describes, was deleted for ever */
  async checkLives(stream: string): Promise<void> {
    const described = isMetastream(stream) ? originalOf(stream) : stream
    if (this.#states.concerns(described) && (await this.#states.of(described)).tombstone)
      throw deletedForEver(described)
  }

  /** What is known of a stream beside its events. */
  state(stream: string): Promise<StreamState> {
    return this.#states.of(stream)
  }

  /** Number of the last event of a stream, seen or not; -1 when it was never written. */
  async head(stream: string): Promise<number> {
    const head = await this.#postings.head(family.stream, stream)
    return (head?.count ?? 0) - 1
  }

  /**
   * Turns bounds into the first and last cursor of a read.
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
      first = await this.#firstCreated(source.kind, source.list, lower.included ? lower.value : lower.value + 1, head)
    }
    let last = head
    if (upper?.kind === 'cursor') last = Math.min(upper.included ? upper.value : upper.value - 1, head)
    else if (upper?.kind === 'instant') {
      const after = upper.included ? upper.value + 1 : upper.value
      last = (await this.#firstCreated(source.kind, source.list, after, head)) - 1
    }
    return { first, last }
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

  /**
   * Where a source stands for those who wait for more: what is not there, or not any more, is empty.
   * @throws `stream-deleted` when nothing can come, `index-switched-off`
   */
  async sourceToFollow({ stream, index }: Address): Promise<Source> {
    if (stream === undefined) return this.logSource()
    if (index !== undefined) return this.indexSource(stream, index)
    try {
      const source = this.#plainSource(stream) ?? (await this.#sourceIfAny(stream))
      if (source !== undefined) return source
    } catch (error) {
      if (!isDaybookError(error) || error.code !== 'stream-not-found') throw error
    }
    const head = await this.head(stream)
    const nothing = { list: undefined, head, first: head + 1, metadata: NO_METADATA, metadataVersion: -1 }
    return { stream, kind: family.stream, index: false, ...nothing }
  }

  /** When the event at a number or position was committed, milliseconds; undefined when there is none. */
  async createdAt({ kind, list, head }: Source, number: number): Promise<number | undefined> {
    if (number < 0 || number > head) return undefined
    if (kind === undefined) return (await this.#log.read(number)).created
    return list && (await this.#log.read(await this.#postings.position(kind, list, number))).created
  }

  /** Streams whose events any metadata or tombstone concerns are looked at one by one. */
  isPlain(stream: string): boolean {
    return !this.#states.concerns(isMetastream(stream) ? originalOf(stream) : stream)
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
      const asked =
        source.kind === family.stream || request.truncated ? undefined : await this.#visibility.seen(records)
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
      const target = await this.linkTarget(one.record)
      if (target === undefined || target === 'gone') continue
      const link = one.link ?? { stream: source.stream, number: one.cursor }
      found[i] = { ...one, record: target, link }
    }
    return found
  }

  /**
   * The event that a link event points at. One level only: a link to a link gives that link.
   * @returns `gone` when it cannot be seen (any more); undefined when the event is no link
   */
  async linkTarget(record: StoredRecord): Promise<StoredRecord | 'gone' | undefined> {
    if (!record.hasType(LINK_TYPE)) return undefined
    const target = parseLink(linkText(record))
    if (target === undefined) return undefined
    try {
      const source = await this.#sourceIfAny(target.stream)
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

  /** Says of each record whether it can be seen; undefined when all can. */
  seen(records: readonly StoredRecord[]): Promise<boolean[] | undefined> {
    return this.#visibility.seen(records)
  }

  /**
   * One event by its number in a stream or index stream, or by its position in the log.
   * @throws `event-not-found` when there is none or it cannot be seen, `event-removed`
   */
  async event(source: Source, number: number): Promise<StoredRecord> {
    const { kind, list, head, stream, first } = source
    if (number > head || number < first || number < 0) throw noEvent(source, number, number > head)
    const position =
      list === undefined ? number : await this.#postings.position(kind as typeof family.stream, list, number)
    const record = await this.#log.read(position)
    if (record.removed) {
      const place = { position, number: record.number, stream: record.stream }
      throw new DaybookError('event-removed', `Event ${record.number} of "${record.stream}" was removed.`, place)
    }
    if ((stream === undefined || source.index) && (await this.#visibility.seen([record]))?.[0] === false) {
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

  /** The first index whose `created` is at or after an instant. `created` never goes back, so halving finds it. */
  async #firstCreated(
    kind: Source['kind'],
    list: ListHead | undefined,
    instant: number,
    head = (list?.count ?? 0) - 1
  ): Promise<number> {
    return lowestIndex(head + 1, async (index) => {
      const position =
        list === undefined || kind === undefined ? index : await this.#postings.position(kind, list, index)
      return (await this.#log.read(position)).created >= instant
    })
  }
}

function deletedForEver(stream: string): DaybookError {
  return new DaybookError('stream-deleted', `"${stream}" was deleted for ever.`, { stream, permanent: true })
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
