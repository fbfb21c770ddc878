/**
 * Searches the log for events that a condition forbids. Most of the log is searched before the append's turn. In its
 * turn only the events committed since then are searched.
 */

import type { AccessRules } from '../access/rules.js'
import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { ListName } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import { type Family, family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { SCAN_CHUNK } from '../log/records/read-ahead.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { MemoryHold } from '../memory/memory-hold.js'
import { ReadMemory } from '../reading/read-memory.js'
import type { Retention } from '../reading/retention.js'
import { entryAtOrAfter, type Range, walkList, walkLists, walkLog } from '../reading/walk.js'
import { nextTurn, SharedTurns } from '../time/turns.js'
import { WorkCounter } from '../work-counter.js'
import {
  type EventCondition,
  ItemMatcher,
  LOOK_AGAIN,
  type LookAgain,
  type Match,
  type MatchItem,
  namesIn
} from './plan/event-condition.js'

/** The result of a search for one condition before the append's turn. */
export interface EarlySearch {
  /** The log was searched up to this position, inclusive. */
  readonly to: number
  readonly found: Match | undefined
  /** Version of the visible events at the time of the search; see `#visibilityOf`. */
  readonly visibility: string
  /** True for the last search before the turn: if more events become visible, the log is searched again in the turn. */
  readonly last: boolean
}

interface SearchMode {
  /** Only events that this viewer may read count; undefined: all events count. */
  readonly viewer: Viewer | undefined
  /** Requests steps of work; the promise resolves when they may be done, undefined means at once. */
  readonly pace: (steps: number) => Promise<void> | undefined
  /** Reserves memory for the records read. Undefined in an append's turn: only one such search runs at a time. */
  readonly memory?: ReadMemory
}

/** List heads to load with one read. */
const HEADS_AT_ONCE = 1000
/** Steps of work to load a head, and to compare a record. */
const LOAD_STEPS = 4
const COMPARE_STEPS = 4

export interface EventSearchParts {
  readonly log: Log
  readonly postings: Postings
  readonly retention: Retention
  readonly rules: Pick<AccessRules, 'viewerOf'>
  /** Searches before an append's turn take their memory from the budget of reads. */
  readonly memory: Pick<MemoryBudget, 'reads' | 'largeReads'>
}

export class EventSearch {
  readonly #log: Log
  readonly #postings: Postings
  readonly #retention: Retention
  readonly #rules: EventSearchParts['rules']
  readonly #memory: EventSearchParts['memory']
  readonly #turns = new SharedTurns()
  /** Counts the work of `firstSince`. One counter suffices, because only one append has its turn at a time. */
  readonly #work = new WorkCounter()

  constructor({ log, postings, retention, rules, memory }: EventSearchParts) {
    this.#log = log
    this.#memory = memory
    this.#postings = postings
    this.#retention = retention
    this.#rules = rules
  }

  /**
   * Searches before the append's turn, so that `firstSince` has little left to search. All early searches share the
   * turns of the event loop.
   * @param last when more events become visible later, `firstSince` searches again instead of returning `LOOK_AGAIN`
   * @param gone aborts the search when the client has disconnected
   * @throws DaybookError `index-switched-off` when an item names types without tags and the server keeps no lists of
   * types, or while a list that the search needs is being filled; `overloaded` when the client has disconnected
   */
  async ahead(condition: EventCondition, last: boolean, gone?: AbortSignal): Promise<EarlySearch> {
    const to = this.#postings.appliedTo
    const viewer = this.#viewerOf(condition)
    const visibility = this.#visibilityOf(viewer)
    const pace = (steps: number) => {
      if (gone?.aborted) {
        throw new DaybookError('overloaded', 'The client has disconnected.', { written: false, retry: true })
      }
      return this.#turns.take(steps)
    }
    const wait = (take: (gone?: AbortSignal) => Promise<MemoryHold>) => take(gone)
    const memory = new ReadMemory(this.#memory, { large: limits.large_transfer_bytes, wait })
    try {
      const found = await this.#firstAfter(condition.items, condition.after, { viewer, pace, memory })
      return { to, found, visibility, last }
    } finally {
      memory.close()
    }
  }

  /**
   * Returns the first event that a condition forbids, in the append's turn. It continues the early search, and so reads
   * only the events committed since then.
   * @param early undefined: the whole log is searched
   * @returns `LOOK_AGAIN` when events may have become visible since the early search and it was not the last one
   */
  async firstSince(condition: EventCondition, early: EarlySearch | undefined): Promise<Match | LookAgain | undefined> {
    const { items, after } = condition
    const viewer = this.#viewerOf(condition)
    const mode = { viewer, pace: (steps: number) => (this.#work.add(steps) ? nextTurn() : undefined) }
    if (early === undefined) return this.#firstAfter(items, after, mode)
    const { to, found, visibility, last } = early
    if (visibility !== this.#visibilityOf(viewer)) return last ? this.#firstAfter(items, after, mode) : LOOK_AGAIN
    if (found === undefined) return this.#firstAfter(items, Math.max(after, to), mode)
    const [record] = await this.#visible([await this.#log.read(found.position)], viewer)
    // If the found event was hidden meanwhile (rare), search on from it: the early search stopped there.
    return record === undefined ? this.#firstAfter(items, found.position, mode) : found
  }

  #viewerOf({ seenBy }: EventCondition): Viewer | undefined {
    return seenBy && this.#rules.viewerOf(seenBy)
  }

  /** Returns a version text that changes whenever hidden events may have become visible to the viewer. */
  #visibilityOf(viewer: Viewer | undefined): string {
    return `${this.#retention.revealed} ${viewer?.changes ?? ''}`
  }

  async #firstAfter(items: readonly MatchItem[], after: number, mode: SearchMode): Promise<Match | undefined> {
    const range = { first: after + 1, last: this.#postings.appliedTo }
    if (range.first > range.last) return undefined
    const names = namesIn(items)
    await mode.pace(names)
    if (items.some(({ tags }) => tags.length > 0)) this.#need(family.tag)
    if (items.some(({ tags }) => tags.length === 0)) this.#need(family.type)
    const span = range.last - range.first + 1
    // A scan of few events is faster than a look-up of many lists.
    if (span <= Math.min(names, limits.match_compared_max))
      return this.#firstAmong(items, walkLog(range, 'asc', SCAN_CHUNK), mode)
    await this.#loadHeads(items, mode.pace)
    let first: Match | undefined
    for (const item of items) {
      const turn = mode.pace(1 + item.types.length + item.tags.length)
      if (turn !== undefined) await turn
      // Only a match before the first one found so far matters.
      const within = { ...range, last: (first?.position ?? range.last + 1) - 1 }
      if (this.#mayHold(item, within)) first = (await this.#firstOf(item, within, mode)) ?? first
    }
    return first
  }

  /** Loads the heads of all lists that the items name into memory, with few reads. */
  async #loadHeads(items: readonly MatchItem[], pace: SearchMode['pace']): Promise<void> {
    let missing: ListName[] = []
    const load = async () => {
      await pace(LOAD_STEPS * missing.length)
      await this.#postings.load(missing)
      missing = []
    }
    for (const { types, tags } of items) {
      // An item with tags is searched in the list of its rarest tag, so the lists of its types are not needed.
      const kind = tags.length > 0 ? family.tag : family.type
      for (const name of tags.length > 0 ? tags : types) {
        if (this.#postings.headInMemory(kind, name) === undefined) missing.push([kind, name])
        if (missing.length === HEADS_AT_ONCE) await load()
      }
    }
    if (missing.length > 0) await load()
  }

  /** Returns false when the heads in memory prove that no event of the range matches. */
  #mayHold({ types, tags }: MatchItem, range: Range): boolean {
    const reaches = (kind: Family, name: string) => {
      const head = this.#postings.headInMemory(kind, name)
      return head !== null && (head?.tail.at(-1) ?? range.first) >= range.first
    }
    if (tags.length > 0) return tags.every((tag) => reaches(family.tag, tag))
    return types.some((type) => reaches(family.type, type))
  }

  async #firstOf(item: MatchItem, range: Range, mode: SearchMode): Promise<Match | undefined> {
    const shortest = await this.#shortestTag(item.tags)
    if (shortest === null) return undefined
    if (shortest !== undefined) {
      const head = shortest
      const from = await entryAtOrAfter(this.#postings, family.tag, head, range.first)
      const whole = range.last === this.#postings.appliedTo
      const end = whole ? head.count : await entryAtOrAfter(this.#postings, family.tag, head, range.last + 1)
      const entries = { first: from, last: end - 1 }
      const walk = { kind: family.tag, head, range: entries, order: 'asc', chunk: SCAN_CHUNK } as const
      return this.#firstAmong([item], walkList(this.#postings, walk), mode)
    }
    return this.#firstAmong([item], walkLists(this.#postings, family.type, item.types, range, 'asc'), mode)
  }

  /** Returns the head of the rarest tag; null when one of the tags has no events, undefined when there are no tags. */
  async #shortestTag(tags: readonly string[]): Promise<ListHead | null | undefined> {
    let shortest: ListHead | undefined
    for (const tag of tags) {
      const head = await this.#postings.head(family.tag, tag)
      if (head === undefined) return null
      if (shortest === undefined || head.count < shortest.count) shortest = head
    }
    return shortest
  }

  #need(kind: Family): void {
    if (this.#postings.isCurrent(kind)) return
    const beingFilled = this.#postings.keeps(kind)
    throw new DaybookError(
      'index-switched-off',
      beingFilled
        ? 'The index list that this condition needs is still being filled. Try again later.'
        : 'A condition on types without tags needs the index of types, which a server with --run-projections=none ' +
            'does not keep. Name tags in the condition, or start the server without that flag.',
      { written: false, retry: beingFilled }
    )
  }

  async #firstAmong(
    items: readonly MatchItem[],
    positions: Iterable<number[]> | AsyncIterable<number[]>,
    { viewer, pace, memory }: SearchMode
  ): Promise<Match | undefined> {
    const matcher = new ItemMatcher(items)
    for await (const records of this.#log.readAhead(positions, {
      reserve: memory && ((bytes) => memory.turn(bytes))
    })) {
      await pace(COMPARE_STEPS * records.length)
      for (const record of await this.#visible(records, viewer)) {
        if (matcher.matches(record)) return { position: record.position, type: record.type }
      }
    }
    return undefined
  }

  /** Returns the records that retention does not hide and that the viewer may read. */
  async #visible(records: readonly StoredRecord[], viewer: Viewer | undefined): Promise<readonly StoredRecord[]> {
    const visible = await this.#retention.visible(records)
    return viewer === undefined ? visible : viewer.visible(visible)
  }
}
