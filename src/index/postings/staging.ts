/**
 * Stages the index changes of a large commit before the commit is written. The work is done in parts, so that other
 * work gets turns of the event loop, and damage is found while the commit can still be refused. Readers see all of the
 * changes at once with `publish`.
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

/** Older changes are merged when a commit is published. Above this number they are flushed first. */
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

  /** Begins a commit. `add` its events, then `publish` or `drop` it. Nothing else may be applied meanwhile. */
  begin(): void {
    this.#pending.stage()
    const { filling, writing } = this.#pending
    if (filling.size > OLDER_CHANGES_MAX && writing === undefined) this.#writes.flushInBackground()
  }

  /**
   * Stages events of the commit, in order of position.
   * @throws DaybookError `index-damaged`
   * @throws when a position or an event number is not the next one
   */
  async add(postings: readonly Posting[]): Promise<void> {
    await this.#ids.readNewPages(postings)
    const found = new Map<ListName, ListHead | null>()
    for (;;) {
      const missing = this.#missing(postings, found)
      if (missing.length === 0) break
      for (const [list, head] of await this.#heads.find(missing)) found.set(list, head)
    }
    this.#growth.stage(postings, found)
  }

  /** Returns the lists whose heads must still be read. */
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

  /** Makes the staged changes visible to readers. Call it when the commit is in the log. */
  publish(): void {
    this.#growth.publish()
    this.#writes.flushIfDue()
  }

  /** Discards the staged changes, because the commit is not in the log. */
  drop(): void {
    this.#pending.staged = undefined
  }
}
