/** Sources of reads: a stream, an index stream or the log as it is now, and the cursors that bounds come to there. */
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

/** What is read: a stream, an index stream, or the log. */
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

  /** The log, as far as the index has followed it. */
  log(): Source {
    return logSource(this.#log.announced)
  }

  /**
   * A stream as it is now.
   * @throws `stream-not-found` when there is nothing to see: it was never written, or deleted; `stream-deleted` when it
   * was deleted for ever
   */
  of(stream: string): Source | Promise<Source> {
    return this.#plain(stream) ?? this.#ofOrRefused(stream)
  }

  /** Most streams have no metadata and no tombstone, and their heads are in memory. */
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
    const source = await this.ifAny(stream)
    if (source === undefined) {
      throw new DaybookError('stream-not-found', `Nothing was ever written to "${stream}".`, { stream, head: null })
    }
    return source
  }

  async ifAny(stream: string): Promise<Source | undefined> {
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
    const since = this.#retention.seenSince(state)
    if (since === undefined) return first
    const young = await this.#firstCreated(family.stream, list, since)
    return Math.max(first, young)
  }

  /**
   * An index stream as it is now; empty when nothing was ever listed there.
   * @throws `index-switched-off`
   */
  async ofIndex(stream: string, { kind, name }: IndexStream): Promise<Source> {
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

  /** Number of the last event of a stream, seen or not; -1 when it was never written. */
  async head(stream: string): Promise<number> {
    const head = await this.#postings.head(family.stream, stream)
    return (head?.count ?? 0) - 1
  }

  /**
   * The first and last cursor that a read has left.
   * @throws `cursor-beyond-head` when the lower bound or the cursor to go on from lies past what there is
   */
  async resolve(source: Source, bounds: Bounds): Promise<Range> {
    return this.rest(source, bounds, await this.asked(source, bounds))
  }

  /** What is left of an asked range for a read that goes on at `cursor`. @throws `cursor-beyond-head` */
  rest({ head }: Source, { cursor, order }: Bounds, asked: Range): Range {
    if (cursor === undefined) return asked
    if (cursor > (order === 'asc' ? head : head + 1)) throw cursorBeyondHead(cursor, head, this.#log.id)
    return order === 'asc'
      ? { first: Math.max(asked.first, cursor + 1), last: asked.last }
      : { first: asked.first, last: Math.min(asked.last, cursor - 1) }
  }

  /**
   * Turns bounds into the first and last cursor, wherever the read goes on.
   * @throws `cursor-beyond-head` when the lower bound lies past what there is
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
   * A source for a reader that waits for more: a stream that does not exist, or was deleted, is empty.
   * @throws `stream-deleted` when nothing can come, `index-switched-off`
   */
  async toFollow({ stream, index }: Address): Promise<Source> {
    if (stream === undefined) return this.log()
    if (index !== undefined) return this.ofIndex(stream, index)
    try {
      const source = this.#plain(stream) ?? (await this.ifAny(stream))
      if (source !== undefined) return source
    } catch (error) {
      if (!isDaybookError(error) || error.code !== 'stream-not-found') throw error
    }
    const head = await this.head(stream)
    const nothing = { list: undefined, head, first: head + 1, metadata: NO_METADATA, metadataVersion: -1 }
    return { stream, kind: family.stream, index: false, ...nothing }
  }

  /**
   * The last cursor of a source whose event lies at or before a position of the log; -1 when there is none. Hidden events
   * count too.
   * @param position Infinity: the last there is
   */
  async lastUpTo({ stream, kind, list: seen, head }: Source, position: number): Promise<number> {
    if (kind === undefined) return Math.min(position, head)
    if (position >= this.#log.announced || head < 0) return head
    // Of a deleted stream the source has no list.
    const list = seen ?? (await this.#postings.head(kind, stream as string))
    if (list === undefined) return -1
    const after = async (index: number) => (await this.#postings.position(kind, list, index)) > position
    return (await lowestIndex(list.count, after)) - 1
  }

  /**
   * Checks that cursors mean the same events here as in the log that they were read from.
   * @param log identity of that log
   * @param details what else the error says
   * @throws `log-changed` naming the cursor to go on from, when the two logs have anything in common
   */
  async checkCursors(
    source: Source,
    { lower, upper, cursor = -1, order }: CursorBounds,
    log: string,
    details: Record<string, unknown> = {}
  ): Promise<void> {
    const goesOn = order === 'desc' ? cursor - 1 : cursor
    const read = Math.max(lastRead(lower, true), lastRead(upper, false), goesOn)
    const upTo = this.#log.validUpTo(log)
    if (read < 0 || upTo === Infinity) return
    const last = upTo === undefined ? -1 : await this.lastUpTo(source, upTo)
    if (read <= last) return
    const why =
      upTo === undefined
        ? `This log is ${this.#log.id} and shares nothing with ${log}.`
        : `The log ${log} has lost its end; this one goes on after its position ${upTo}. Go on after the cursor ${last}.`
    const where = upTo === undefined ? {} : { upTo, cursor: String(last) }
    throw new DaybookError('log-changed', why, { log: this.#log.id, asked: log, ...where, ...details })
  }

  /** False while the list of an index stream is being filled: then its head says nothing. */
  isComplete({ kind }: Source): boolean {
    return kind === undefined || this.#postings.isCurrent(kind)
  }

  /** When the event at a number or position was committed, milliseconds; undefined when there is none. */
  async createdAt({ kind, list, head }: Source, number: number): Promise<number | undefined> {
    if (number < 0 || number > head) return undefined
    if (kind === undefined) return (await this.#log.read(number)).created
    return list && (await this.#log.read(await this.#postings.position(kind, list, number))).created
  }

  /** True when neither metadata nor a tombstone concerns a stream, so that its events need no check one by one. */
  isPlain(stream: string): boolean {
    return !this.#states.concerns(isMetastream(stream) ? originalOf(stream) : stream)
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

/** The last cursor that a bound says was read; -1 when the bound is no cursor. */
function lastRead(bound: Bound | undefined, isLower: boolean): number {
  if (bound?.kind !== 'cursor') return -1
  return bound.included === isLower ? bound.value - 1 : bound.value
}

function deletedForEver(stream: string): DaybookError {
  return new DaybookError('stream-deleted', `"${stream}" was deleted for ever.`, { stream, permanent: true })
}
