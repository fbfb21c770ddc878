/**
 * Searches the log for events that a condition forbids. Most of the search is made before the append's turn; in its turn
 * only what was committed since is searched.
 */

import type { AccessRules } from '../access/rules.js'
import type { Viewer } from '../access/viewer.js'
import { DaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import { type Family, family, type ListHead, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { SCAN_CHUNK } from '../log/records/read-ahead.js'
import type { Retention } from '../reading/retention.js'
import { entryAtOrAfter, type Range, walkList, walkLists, walkLog } from '../reading/walk.js'
import {
  type EventCondition,
  itemMatches,
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

export interface EventSearchParts {
  readonly log: Log
  readonly postings: Postings
  readonly retention: Retention
  readonly rules: Pick<AccessRules, 'viewerOf'>
}

export class EventSearch {
  readonly #log: Log
  readonly #postings: Postings
  readonly #retention: Retention
  readonly #rules: EventSearchParts['rules']

  constructor({ log, postings, retention, rules }: EventSearchParts) {
    this.#log = log
    this.#postings = postings
    this.#retention = retention
    this.#rules = rules
  }

  /**
   * The first event of the log that a condition forbids and that can still be seen.
   * @throws `index-switched-off` when it names types without tags and there is no list of types, or while the list
   * that it needs is being filled
   */
  first(condition: EventCondition): Promise<Match | undefined> {
    return this.#firstAfter(condition.items, condition.after, this.#viewerOf(condition))
  }

  /**
   * Searches before the append's turn, so that `firstSince` has little to do in it.
   * @param last what becomes visible until then is searched in the turn, instead of `LOOK_AGAIN`
   * @throws as `first`
   */
  async ahead(condition: EventCondition, last: boolean): Promise<EarlySearch> {
    const to = this.#postings.appliedTo
    const sight = this.#sightOf(this.#viewerOf(condition))
    return { to, found: await this.first(condition), sight, last }
  }

  /** As `first`, for a condition that was searched for before: only what has been committed since is new. */
  async firstSince(condition: EventCondition, early: EarlySearch | undefined): Promise<Match | LookAgain | undefined> {
    const { items, after } = condition
    const viewer = this.#viewerOf(condition)
    if (early === undefined) return this.#firstAfter(items, after, viewer)
    const { to, found, sight, last } = early
    if (sight !== this.#sightOf(viewer)) return last ? this.#firstAfter(items, after, viewer) : LOOK_AGAIN
    if (found === undefined) return this.#firstAfter(items, Math.max(after, to), viewer)
    const [record] = await this.#visible([await this.#log.read(found.position)], viewer)
    // Hidden meanwhile, which is rare: what comes after it was not searched.
    return record === undefined ? this.#firstAfter(items, found.position, viewer) : found
  }

  #viewerOf({ seenBy }: EventCondition): Viewer | undefined {
    return seenBy && this.#rules.viewerOf(seenBy)
  }

  /** Another text whenever events that the condition could not see may have come into sight. */
  #sightOf(viewer: Viewer | undefined): string {
    return `${this.#retention.revealed} ${viewer?.changes ?? ''}`
  }

  async #firstAfter(
    items: readonly MatchItem[],
    after: number,
    viewer: Viewer | undefined
  ): Promise<Match | undefined> {
    const range = { first: after + 1, last: this.#postings.appliedTo }
    if (range.first > range.last) return undefined
    for (const item of items) this.#need(item)
    const names = namesIn(items)
    const span = range.last - range.first + 1
    // Few events are looked at sooner than many lists.
    if (span <= names && span * names <= limits.match_compared_max)
      return this.#firstAmong(items, walkLog(range, 'asc', SCAN_CHUNK), viewer)
    let first: Match | undefined
    for (const item of items) {
      // Later ones need not be looked for beyond the first that was found.
      first = (await this.#firstOf(item, { ...range, last: (first?.position ?? range.last + 1) - 1 }, viewer)) ?? first
    }
    return first
  }

  async #firstOf(item: MatchItem, range: Range, viewer: Viewer | undefined): Promise<Match | undefined> {
    const shortest = await this.#shortestTag(item.tags)
    if (shortest === null) return undefined
    if (shortest !== undefined) {
      const head = shortest
      const from = await entryAtOrAfter(this.#postings, family.tag, head, range.first)
      const whole = range.last === this.#postings.appliedTo
      const end = whole ? head.count : await entryAtOrAfter(this.#postings, family.tag, head, range.last + 1)
      const entries = { first: from, last: end - 1 }
      const walk = { kind: family.tag, head, range: entries, order: 'asc', chunk: SCAN_CHUNK } as const
      return this.#firstAmong([item], walkList(this.#postings, walk), viewer)
    }
    return this.#firstAmong([item], walkLists(this.#postings, family.type, item.types, range, 'asc'), viewer)
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

  #need({ tags }: MatchItem): void {
    const kind: Family = tags.length > 0 ? family.tag : family.type
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
    viewer: Viewer | undefined
  ): Promise<Match | undefined> {
    for await (const records of this.#log.readAhead(positions)) {
      for (const record of await this.#visible(records, viewer)) {
        if (items.some((item) => itemMatches(item, record))) return { position: record.position, type: record.type }
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
