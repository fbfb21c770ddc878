/**
 * Searches the log for events that a condition forbids. Most of the search is made before the append's turn; in its turn
 * only what was committed since is searched.
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

/** What a search for one condition, made before the append's turn, has found. */
export interface EarlySearch {
  /** Up to this position the log was searched. */
  readonly to: number
  readonly found: Match | undefined
  /** What could be seen then. */
  readonly sight: string
  /** The last search before the turn: what has become visible since is searched in the turn. */
  readonly last: boolean
}

interface SearchMode {
  /** Whose sight counts; undefined: everything does. */
  readonly viewer: Viewer | undefined
  /** Asks for steps of work: others may have a turn first. */
  readonly pace: (steps: number) => Promise<void> | undefined
  /** Holds what is read; undefined in the turn of an append, of which there is one. */
  readonly memory?: ReadMemory
}

/** Heads that are loaded with one read. */
const HEADS_AT_ONCE = 1000
/** Steps of work that it takes to load a head, and to compare a record. */
const LOAD_STEPS = 4
const COMPARE_STEPS = 4

export interface EventSearchParts {
  readonly log: Log
  readonly postings: Postings
  readonly retention: Retention
  readonly rules: Pick<AccessRules, 'viewerOf'>
  /** Searches before an append's turn are reads. */
  readonly memory: Pick<MemoryBudget, 'reads' | 'largeReads'>
}

export class EventSearch {
  readonly #log: Log
  readonly #postings: Postings
  readonly #retention: Retention
  readonly #rules: EventSearchParts['rules']
  readonly #memory: EventSearchParts['memory']
  readonly #turns = new SharedTurns()
  /** In the turn of an append, of which there is one at a time. */
  readonly #work = new WorkCounter()

  constructor({ log, postings, retention, rules, memory }: EventSearchParts) {
    this.#log = log
    this.#memory = memory
    this.#postings = postings
    this.#retention = retention
    this.#rules = rules
  }

  /**
   * Searches before the append's turn, so that `firstSince` has little to do in it. All such searches share the turns of
   * the event loop.
   * @param last what becomes visible until then is searched in the turn, instead of `LOOK_AGAIN`
   * @param gone ends the search when the client has left
   * @throws `index-switched-off` when it names types without tags and there is no list of types, or while the list
   * that it needs is being filled; `overloaded` when the client has left
   */
  async ahead(condition: EventCondition, last: boolean, gone?: AbortSignal): Promise<EarlySearch> {
    const to = this.#postings.appliedTo
    const viewer = this.#viewerOf(condition)
    const sight = this.#sightOf(viewer)
    const pace = (steps: number) => {
      if (gone?.aborted) throw new DaybookError('overloaded', 'The client has left.', { written: false, retry: true })
      return this.#turns.take(steps)
    }
    const wait = (take: (gone?: AbortSignal) => Promise<MemoryHold>) => take(gone)
    const memory = new ReadMemory(this.#memory, { large: limits.large_transfer_bytes, wait })
    try {
      const found = await this.#firstAfter(condition.items, condition.after, { viewer, pace, memory })
      return { to, found, sight, last }
    } finally {
      memory.close()
    }
  }

  /**
   * As `ahead`, in the append's turn, for a condition that was searched for before: only what has been committed since is
   * new.
   */
  async firstSince(condition: EventCondition, early: EarlySearch | undefined): Promise<Match | LookAgain | undefined> {
    const { items, after } = condition
    const viewer = this.#viewerOf(condition)
    const how = { viewer, pace: (steps: number) => (this.#work.add(steps) ? nextTurn() : undefined) }
    if (early === undefined) return this.#firstAfter(items, after, how)
    const { to, found, sight, last } = early
    if (sight !== this.#sightOf(viewer)) return last ? this.#firstAfter(items, after, how) : LOOK_AGAIN
    if (found === undefined) return this.#firstAfter(items, Math.max(after, to), how)
    const [record] = await this.#visible([await this.#log.read(found.position)], viewer)
    // Hidden meanwhile, which is rare: what comes after it was not searched.
    return record === undefined ? this.#firstAfter(items, found.position, how) : found
  }

  #viewerOf({ seenBy }: EventCondition): Viewer | undefined {
    return seenBy && this.#rules.viewerOf(seenBy)
  }

  /** Another text whenever events that the condition could not see may have come into sight. */
  #sightOf(viewer: Viewer | undefined): string {
    return `${this.#retention.revealed} ${viewer?.changes ?? ''}`
  }

  async #firstAfter(items: readonly MatchItem[], after: number, how: SearchMode): Promise<Match | undefined> {
    const range = { first: after + 1, last: this.#postings.appliedTo }
    if (range.first > range.last) return undefined
    const names = namesIn(items)
    await how.pace(names)
    if (items.some(({ tags }) => tags.length > 0)) this.#need(family.tag)
    if (items.some(({ tags }) => tags.length === 0)) this.#need(family.type)
    const span = range.last - range.first + 1
    // Few events are looked at sooner than many lists.
    if (span <= Math.min(names, limits.match_compared_max))
      return this.#firstAmong(items, walkLog(range, 'asc', SCAN_CHUNK), how)
    await this.#loadHeads(items, how.pace)
    let first: Match | undefined
    for (const item of items) {
      const turn = how.pace(1 + item.types.length + item.tags.length)
      if (turn !== undefined) await turn
      // Later ones need not be looked for beyond the first that was found.
      const within = { ...range, last: (first?.position ?? range.last + 1) - 1 }
      if (this.#mayHold(item, within)) first = (await this.#firstOf(item, within, how)) ?? first
    }
    return first
  }

  /** Brings the heads of all lists that are named into memory, with few reads. */
  async #loadHeads(items: readonly MatchItem[], pace: SearchMode['pace']): Promise<void> {
    let missing: ListName[] = []
    const load = async () => {
      await pace(LOAD_STEPS * missing.length)
      await this.#postings.load(missing)
      missing = []
    }
    for (const { types, tags } of items) {
      // An item with tags is looked for by one of them.
      const kind = tags.length > 0 ? family.tag : family.type
      for (const name of tags.length > 0 ? tags : types) {
        if (this.#postings.headInMemory(kind, name) === undefined) missing.push([kind, name])
        if (missing.length === HEADS_AT_ONCE) await load()
      }
    }
    if (missing.length > 0) await load()
  }

  /** False when the heads in memory show that no event of the range matches. */
  #mayHold({ types, tags }: MatchItem, range: Range): boolean {
    const reaches = (kind: Family, name: string) => {
      const head = this.#postings.headInMemory(kind, name)
      return head !== null && (head?.tail.at(-1) ?? range.first) >= range.first
    }
    if (tags.length > 0) return tags.every((tag) => reaches(family.tag, tag))
    return types.some((type) => reaches(family.type, type))
  }

  async #firstOf(item: MatchItem, range: Range, how: SearchMode): Promise<Match | undefined> {
    const shortest = await this.#shortestTag(item.tags)
    if (shortest === null) return undefined
    if (shortest !== undefined) {
      const head = shortest
      const from = await entryAtOrAfter(this.#postings, family.tag, head, range.first)
      const whole = range.last === this.#postings.appliedTo
      const end = whole ? head.count : await entryAtOrAfter(this.#postings, family.tag, head, range.last + 1)
      const entries = { first: from, last: end - 1 }
      const walk = { kind: family.tag, head, range: entries, order: 'asc', chunk: SCAN_CHUNK } as const
      return this.#firstAmong([item], walkList(this.#postings, walk), how)
    }
    return this.#firstAmong([item], walkLists(this.#postings, family.type, item.types, range, 'asc'), how)
  }

  /** The tag that fewest events carry; null when there is one that none carries. */
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
    const filling = this.#postings.keeps(kind)
    throw new DaybookError(
      'index-switched-off',
      filling
        ? 'This condition needs a list that is still being filled. Try again in a while.'
        : 'A condition on types needs the lists of types, which a server with --run-projections=none does not keep. Conditions on tags work.',
      { written: false, retry: filling }
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

  /** Those that their streams still show, and that may be read. */
  async #visible(records: readonly StoredRecord[], viewer: Viewer | undefined): Promise<readonly StoredRecord[]> {
    const visible = await this.#retention.visible(records)
    return viewer === undefined ? visible : viewer.visible(visible)
  }
}
