/**
 * Gathers what a large commit changes in the index before the commit is written: the work is done in parts, with turns for
 * others between them, and what is damaged is found while the commit can still be refused. No reader sees any of it before
 * `publish`, and then all of it at once.
 */
import type { ListHead } from '../../log/format.js'
import type { ListName, Posting } from '../posting.js'
import type { EventIds } from './event-ids.js'
import type { IndexWrites } from './index-writes.js'
import type { KeptFamilies } from './kept-families.js'
import type { ListGrowth } from './list-growth.js'
import type { ListHeads } from './list-heads.js'
import type { PendingWrites } from './pending-writes.js'

export interface StagingParts {
  readonly pending: PendingWrites
  readonly heads: ListHeads
  readonly ids: EventIds
  readonly families: KeptFamilies
  readonly growth: ListGrowth
  readonly writes: IndexWrites
}

/** So many older changes can be taken along when a commit is published. */
const OLDER_CHANGES_MAX = 2048

export class Staging {
  readonly #pending: PendingWrites
  readonly #heads: ListHeads
  readonly #ids: EventIds
  readonly #families: KeptFamilies
  readonly #growth: ListGrowth
  readonly #writes: IndexWrites

  constructor(parts: StagingParts) {
    this.#pending = parts.pending
    this.#heads = parts.heads
    this.#ids = parts.ids
    this.#families = parts.families
    this.#growth = parts.growth
    this.#writes = parts.writes
  }

  /** Begins with a commit: `add` its events, then `publish` or `drop`. Nothing else may be applied meanwhile. */
  begin(): void {
    this.#pending.stage()
    const { filling, writing } = this.#pending
    if (filling.size > OLDER_CHANGES_MAX && writing === undefined) this.#writes.flushBehind()
  }

  /**
   * Takes events of the commit, in the order of their positions.
   * @throws `index-damaged`; and when a position or a number does not follow
   */
  async add(postings: readonly Posting[]): Promise<void> {
    await this.#ids.lookAtNew(postings)
    const found = new Map<ListName, ListHead | null>()
    for (;;) {
      const missing = this.#missing(postings, found)
      if (missing.length === 0) break
      for (const [list, head] of await this.#heads.find(missing)) found.set(list, head)
    }
    this.#growth.stage(postings, found)
  }

  /** The lists whose heads are neither in memory nor found. */
  #missing(postings: readonly Posting[], found: ReadonlyMap<ListName, unknown>): ListName[] {
    const staged = this.#pending.staged?.changes
    const missing: ListName[] = []
    let last: readonly ListName[] | undefined
    for (const { lists } of postings) {
      if (lists === last) continue
      last = lists
      for (const list of lists) {
        const [kind, name] = list
        if (!this.#families.isCurrent(kind) || found.has(list) || staged?.heads[kind].has(name)) continue
        if (this.#heads.inMemory(kind, name) === undefined) missing.push(list)
      }
    }
    return missing
  }

  /** The commit is in the log: readers see all of its changes. */
  publish(): void {
    this.#growth.publish()
    this.#writes.flushIfMuch()
  }

  /** Forgets what was gathered: it is not in the log. */
  drop(): void {
    this.#pending.staged = undefined
  }
}
