/** Finds the sources of reads (a stream, an index stream or the log) and resolves bounds to cursors of a source. */
import { DaybookError, isDaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { family, type ListHead } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { IndexStream } from '../streams/index-streams.js'
import { firstVisible, NO_METADATA } from '../streams/metadata.js'
import { isMetastream, originalOf } from '../streams/names.js'
import type { StreamState } from '../streams/stream-state.js'
import type { Bound, Bounds, CursorBounds } from './event-read.js'
import type { Retention } from './retention.js'
import { cursorBeyondHead, logSource, type Source } from './source.js'
import { lowestIndex, type Range } from './walk.js'

/** The address of a read: a stream, an index stream, or the log. */
export interface Address {
  /** Undefined: the log. */
  readonly stream: string | undefined
  readonly index?: IndexStream | undefined
}

export interface SourcesParts {
  log: Log
  postings: Postings
  states: StreamStates
  retention: Retention
}

export class Sources {
  readonly #log: Log
  readonly #postings: Postings
  readonly #states: StreamStates
  readonly #retention: Retention

  constructor(parts: SourcesParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.#states = parts.states
    this.#retention = parts.retention
  }

  /** Returns the log up to the position that the index has reached. */
  log(): Source {
    return logSource(this.#log.publishedHead)
  }

  /**
   * Returns a stream as it is now.
   * @throws `stream-not-found` when the stream was never written or was deleted; `stream-deleted` when it was deleted
   * permanently
   */
  of(stream: string): Source | Promise<Source> {
    return this.#plain(stream) ?? this.#ofOrRefused(stream)
  }

  /** Fast path: most streams have neither metadata nor a tombstone, and their heads are in memory. */
  #plain(stream: string): Source | undefined {
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

  async #ofOrRefused(stream: string): Promise<Source> {
    const source = await this.find(stream)
    if (source === undefined) {
      throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
    }
    return source
  }

  async find(stream: string): Promise<Source | undefined> {
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
    // A metastream shows only its newest event (reference 11).
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
    const since = this.#retention.seenSince(state)
    if (since === undefined) return first
    const young = await this.#firstCreated(family.stream, list, since)
    return Math.max(first, young)
  }

  /**
   * Returns an index stream as it is now; an empty source when nothing is listed in it.
   * @throws `index-switched-off`
   */
  async ofIndex(stream: string, { kind, name }: IndexStream): Promise<Source> {
    if (!this.#postings.keeps(kind)) {
      throw new DaybookError(
        'index-switched-off',
        'The server runs with --run-projections=none and keeps no index streams.'
      )
    }
    const list = await this.#postings.head(kind, name)
    const head = (list?.count ?? 0) - 1
    return { stream, kind, index: true, list, head, first: 0, metadata: NO_METADATA, metadataVersion: -1 }
  }

  /** Rejects for a permanently deleted stream or its metastream. @throws `stream-deleted` */
  async checkLives(stream: string): Promise<void> {
    const described = isMetastream(stream) ? originalOf(stream) : stream
    if (this.#states.concerns(described) && (await this.#states.of(described)).tombstone)
      throw deletedForEver(described)
  }

  /** Returns the number of a stream's last event, visible or not; -1 when the stream was never written. */
  async head(stream: string): Promise<number> {
    const head = await this.#postings.head(family.stream, stream)
    return (head?.count ?? 0) - 1
  }

  /**
   * Returns the first and last cursor that remain for a read.
   * @throws `cursor-beyond-head` when the lower bound or the resume cursor is past the end
   */
  async resolve(source: Source, bounds: Bounds): Promise<Range> {
    return this.rest(source, bounds, await this.asked(source, bounds))
  }

  /** Returns the part of a range that remains after the resume cursor. @throws `cursor-beyond-head` */
  rest({ head }: Source, { cursor, order }: Bounds, range: Range): Range {
    if (cursor === undefined) return range
    if (cursor > (order === 'asc' ? head : head + 1)) throw cursorBeyondHead(cursor, head, this.#log.id)
    return order === 'asc'
      ? { first: Math.max(range.first, cursor + 1), last: range.last }
      : { first: range.first, last: Math.min(range.last, cursor - 1) }
  }

  /**
   * Resolves bounds to the first and last cursor. Ignores the resume cursor.
   * @throws `cursor-beyond-head` when the lower bound is past the end
   */
  async asked(source: Source, { lower, upper, order }: Bounds): Promise<Range> {
    const { head } = source
    let first = 0
    if (lower?.kind === 'end') first = order === 'asc' ? head + 1 : 0
    else if (lower?.kind === 'cursor') {
      first = lower.included ? Math.max(lower.value, 0) : lower.value + 1
      if (first > head + 1) throw cursorBeyondHead(lower.value, head, this.#log.id)
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

  /**
   * Returns a source for a reader that waits for events. A missing or deleted stream is an empty source.
   * @throws `stream-deleted` when the stream can never get events again; `index-switched-off`
   */
  async toFollow({ stream, index }: Address): Promise<Source> {
    if (stream === undefined) return this.log()
    if (index !== undefined) return this.ofIndex(stream, index)
    try {
      const source = this.#plain(stream) ?? (await this.find(stream))
      if (source !== undefined) return source
    } catch (error) {
      if (!isDaybookError(error) || error.code !== 'stream-not-found') throw error
    }
    const head = await this.head(stream)
    const empty = { list: undefined, head, first: head + 1, metadata: NO_METADATA, metadataVersion: -1 }
    return { stream, kind: family.stream, index: false, ...empty }
  }

  /**
   * Returns the last cursor of a source whose event is at or before a position of the log; -1 when there is none.
   * Hidden events count too.
   * @param position Infinity: the end of the source
   */
  async lastUpTo({ stream, kind, list: seen, head }: Source, position: number): Promise<number> {
    if (kind === undefined) return Math.min(position, head)
    if (position >= this.#log.publishedHead || head < 0) return head
    // The source of a deleted stream has no list.
    const list = seen ?? (await this.#postings.head(kind, stream as string))
    if (list === undefined) return -1
    const after = async (index: number) => (await this.#postings.position(kind, list, index)) > position
    return (await lowestIndex(list.count, after)) - 1
  }

  /**
   * Checks that cursors from another log refer to the same events in this log.
   * @param log identity of the log that the cursors come from
   * @param details further members of the error
   * @throws `log-changed`, with the cursor to resume from if the two logs have a common beginning
   */
  async checkCursors(
    source: Source,
    { lower, upper, cursor = -1, order }: CursorBounds,
    log: string,
    details: Record<string, unknown> = {}
  ): Promise<void> {
    const resumedAfter = order === 'desc' ? cursor - 1 : cursor
    const read = Math.max(lastRead(lower, true), lastRead(upper, false), resumedAfter)
    const upTo = this.#log.validUpTo(log)
    if (read < 0 || upTo === Infinity) return
    const last = upTo === undefined ? -1 : await this.lastUpTo(source, upTo)
    if (read <= last) return
    const why =
      upTo === undefined
        ? `This log is ${this.#log.id}. It has no events in common with log ${log}. Start again from the beginning.`
        : `Log ${log} lost its end. This log continues after position ${upTo} of it. Resume after cursor ${last}.`
    const where = upTo === undefined ? {} : { upTo, cursor: String(last) }
    throw new DaybookError('log-changed', why, { log: this.#log.id, asked: log, ...where, ...details })
  }

  /** Returns false while an index stream's list is still being built. Its head is not reliable until then. */
  isComplete({ kind }: Source): boolean {
    return kind === undefined || this.#postings.isCurrent(kind)
  }

  /** Returns when the event at a number or position was committed, milliseconds; undefined when there is none. */
  async createdAt({ kind, list, head }: Source, number: number): Promise<number | undefined> {
    if (number < 0 || number > head) return undefined
    if (kind === undefined) return (await this.#log.read(number)).created
    return list && (await this.#log.read(await this.#postings.position(kind, list, number))).created
  }

  /** Returns true when a stream has neither metadata nor a tombstone. Its events then need no visibility checks. */
  isPlain(stream: string): boolean {
    return !this.#states.concerns(isMetastream(stream) ? originalOf(stream) : stream)
  }

  /** Returns the first index whose `created` is at or after an instant. `created` never decreases: a binary search. */
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

/** Returns the last cursor that was read according to a bound; -1 when the bound is not a cursor. */
function lastRead(bound: Bound | undefined, isLower: boolean): number {
  if (bound?.kind !== 'cursor') return -1
  return bound.included === isLower ? bound.value - 1 : bound.value
}

function deletedForEver(stream: string): DaybookError {
  return new DaybookError('stream-deleted', `"${stream}" was deleted permanently.`, { stream, permanent: true })
}
