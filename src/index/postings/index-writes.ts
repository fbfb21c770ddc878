/**
 * Writes the index in the background: many commits together, without sync, each batch with the log position that it
 * covers. A write that failed may be on disk nevertheless. Nothing is written after it until `reopen` has found out.
 */
import { limits } from '../../limits.js'
import {
  encodeBlock,
  encodeHead,
  families,
  headKey,
  INDEX_STATE_KEY,
  nextVersion,
  sealEntry,
  table
} from '../../log/format.js'
import type { LevelBatch } from '../../log/level.js'
import { nextTurn } from '../../time/turns.js'
import { WorkCounter } from '../../work-counter.js'
import type { TableChange } from '../hash-table/hash-page.js'
import { encodeState, type IndexState } from '../storage/index-state.js'
import { type IndexStore, readState } from '../storage/index-store.js'
import type { IndexChanges } from './index-changes.js'
import type { KeptFamilies } from './kept-families.js'
import type { ListCounts } from './list-counts.js'
import type { ListHeads } from './list-heads.js'
import type { PendingWrites } from './pending-writes.js'

/** Steps of work for one entry. */
const ENTRY_STEPS = 4

/** One write of the index, with the changes and the state from its beginning. */
interface IndexWrite {
  readonly changes: IndexChanges
  readonly state: IndexState
}

export interface IndexWritesParts {
  readonly store: IndexStore
  readonly pending: PendingWrites
  readonly heads: ListHeads
  readonly families: KeptFamilies
  readonly counts: ListCounts
}

export class IndexWrites {
  readonly #store: IndexStore
  readonly #pending: PendingWrites
  readonly #heads: ListHeads
  readonly #families: KeptFamilies
  readonly #counts: ListCounts
  /** A failed write that may be on disk nevertheless. `reopen` finds out. */
  #uncertain: IndexWrite | undefined
  #failure: unknown

  constructor({ store, pending, heads, families, counts }: IndexWritesParts) {
    this.#store = store
    this.#pending = pending
    this.#heads = heads
    this.#families = families
    this.#counts = counts
  }

  /** Called when a write fails. The changes stay in memory and are written after `reopen`. */
  onFailed: (error: Error) => void = () => {}

  /**
   * Reopens the database after a failed write, and finds out whether the write is on disk. Unwritten changes stay in
   * memory.
   * @throws DaybookError `directory-unusable`, `storage-failed`; then the call can be retried
   * @throws DaybookError `index-damaged` when the state on disk is that of another write
   */
  async reopen(): Promise<void> {
    const { level, damage } = this.#store
    while (this.#pending.flushing !== undefined) await this.#pending.flushing.catch(() => {})
    await level.reopen()
    const uncertain = this.#uncertain
    const { writes } = await damage.watch(readState(level, this.#store.state.log))
    if (writes === uncertain?.state.writes) await this.#written(uncertain)
    else if (writes !== this.#store.state.writes) throw damage.found(`its state is that of write ${writes}`)
    else if (uncertain !== undefined) this.#notWritten(uncertain)
  }

  /** Starts a background flush when there are many changes, or when the index on disk is far behind. */
  flushIfDue(): void {
    const { filling, appliedTo } = this.#pending
    const hasManyChanges = filling.size >= limits.index_pending_max
    if (hasManyChanges || appliedTo - this.#store.state.goodTo >= limits.index_behind_events_max)
      this.flushInBackground()
  }

  /** Starts a background flush. A failure is reported to `onFailed`; the changes are written after `reopen`. */
  flushInBackground(): void {
    if (this.#uncertain === undefined) this.flush().catch(() => {})
  }

  /** Waits for the write under way, if there is one. @throws when it fails */
  async underWay(): Promise<void> {
    await this.#pending.flushing
  }

  /**
   * Writes all changes. A call during another write waits for it and then writes the rest.
   * @throws when the write fails; the changes stay in memory and are written after `reopen`
   */
  async flush(): Promise<void> {
    const pending = this.#pending
    if (pending.flushing !== undefined) {
      await pending.flushing
      return pending.filling.size === 0 ? undefined : this.flush()
    }
    if (this.#uncertain !== undefined)
      throw new Error('a write of the index failed; it must be reopened first', { cause: this.#failure })
    if (pending.appliedTo === this.#store.state.goodTo && pending.filling.size === 0) return
    pending.flushing = this.#writePending().finally(() => {
      pending.flushing = undefined
    })
    await pending.flushing
  }

  async #writePending(): Promise<void> {
    const store = this.#store
    // Take all of these in one turn: changes applied while the tables are prepared belong to the next write.
    const goodTo = this.#pending.appliedTo
    const families = this.#families.statesAt(goodTo)
    const counts = this.#counts.written()
    const changes = this.#pending.beginWrite()
    let write: IndexWrite | undefined
    try {
      await this.#prepareTables(changes)
      const tables = { [table.lists]: store.lists.nextState, [table.ids]: store.ids.nextState }
      write = { changes, state: { ...store.state, goodTo, families, counts, tables, writes: store.state.writes + 1 } }
      await store.level.write(await this.#batchOf(write))
    } catch (error) {
      // A write that could not be prepared is certainly not on disk.
      if (write === undefined) this.#pending.requeue(changes)
      this.#uncertain = write
      this.#failure = error
      this.onFailed(error as Error)
      throw error
    }
    await this.#written(write)
  }

  async #prepareTables(changes: IndexChanges): Promise<void> {
    const { lists, ids, damage } = this.#store
    const work = new WorkCounter()
    const heads: TableChange[] = []
    for (const kind of families) {
      for (const [name, head] of changes.heads[kind]) {
        if (work.add(ENTRY_STEPS)) await nextTurn()
        const { version } = head
        heads.push({
          hash: this.#store.hashOf(kind, name),
          value: nextVersion(version),
          before: version === 0 ? undefined : version
        })
      }
    }
    const positions: TableChange[] = []
    for (const [key, position] of changes.ids) {
      if (work.add(ENTRY_STEPS)) await nextTurn()
      positions.push({ hash: ids.hashOf(key), value: position })
    }
    // Wait for both even if one fails: a table still preparing would interfere with the next write.
    for (const result of await Promise.allSettled([lists.prepare(heads), ids.prepare(positions)])) {
      if (result.status === 'rejected') throw damage.mark(result.reason)
      if (result.value !== undefined) damage.mark(result.value)
    }
  }

  /** Builds the batch. Yielding in between is safe, because the changes of a write under way do not change any more. */
  async #batchOf({ changes, state }: IndexWrite): Promise<LevelBatch> {
    const { level, lists, ids } = this.#store
    const work = new WorkCounter()
    const batch = level.batch()
    const put = (key: Buffer, value: Buffer) => batch.put(key, sealEntry(key, value))
    for (const kind of families) {
      for (const [name, head] of changes.heads[kind]) {
        if (work.add(ENTRY_STEPS)) await nextTurn()
        put(headKey(kind, name), encodeHead(head, nextVersion(head.version)))
      }
    }
    for (const [key, block] of changes.blocks) {
      if (work.add(ENTRY_STEPS)) await nextTurn()
      put(Buffer.from(key, 'latin1'), encodeBlock(block))
    }
    await lists.put(batch)
    await ids.put(batch)
    batch.put(INDEX_STATE_KEY, encodeState(state))
    return batch
  }

  /** Ends a write that is on disk. Readers still find its changes in memory until all heads have their new versions. */
  async #written({ changes, state }: IndexWrite): Promise<void> {
    this.#store.lists.written()
    this.#store.ids.written()
    this.#store.state = state
    await this.#heads.written(changes)
    this.#pending.writing = undefined
    this.#uncertain = undefined
  }

  /** Ends a write that is certainly not on disk. The next write includes its changes. */
  #notWritten({ changes }: IndexWrite): void {
    this.#pending.requeue(changes)
    this.#uncertain = undefined
  }
}
