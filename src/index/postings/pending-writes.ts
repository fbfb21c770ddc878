/**
 * Index changes in memory that are not on disk yet. There are two generations, so that one can be filled while the
 * other is written.
 */
import type { Family, ListHead } from '../../log/format.js'
import type { ListName } from '../posting.js'
import { IndexChanges } from './index-changes.js'

/** The index changes of a commit that is not in the log yet. Readers do not see them. */
export interface StagedChanges {
  readonly changes: IndexChanges
  /** The log position of the last staged event. */
  to: number
  /** New lists of families with counted prefixes. */
  readonly begun: ListName[]
}

export class PendingWrites {
  /** Changes for the next write. */
  filling = new IndexChanges()
  /** Changes of the write under way, or of a failed write that may be on disk nevertheless. */
  writing: IndexChanges | undefined
  /** The write under way. */
  flushing: Promise<void> | undefined
  /** The log position up to which all changes are in memory. */
  appliedTo: number
  /** The changes of the commit that is being staged. */
  staged: StagedChanges | undefined

  constructor(appliedTo: number) {
    this.appliedTo = appliedTo
  }

  /** The value of `appliedTo` after the staged commit, if there is one, is published. */
  get stagedTo(): number {
    return this.staged?.to ?? this.appliedTo
  }

  /** Begins to stage the changes of a commit. */
  stage(): void {
    this.staged = { changes: new IndexChanges(), to: this.appliedTo, begun: [] }
  }

  /** Makes all changes of a staged commit visible to readers at once. Call it when the commit is in the log. */
  publish({ changes, to }: StagedChanges): void {
    changes.mergeOlder(this.filling)
    this.filling = changes
    this.appliedTo = to
    this.staged = undefined
  }

  /** Returns the head of a changed list. */
  head(kind: Family, name: string): ListHead | undefined {
    return this.filling.heads[kind].get(name) ?? this.writing?.heads[kind].get(name)
  }

  /** Returns a full block of positions that is not on disk yet. */
  block(key: string): number[] | undefined {
    return this.filling.blocks.get(key) ?? this.writing?.blocks.get(key)
  }

  /** Returns the position of an event, by `eventIdKey`. */
  positionOfId(key: string): number | undefined {
    return this.filling.ids.get(key) ?? this.writing?.ids.get(key)
  }

  /** Begins a write. Returns the changes to write. */
  beginWrite(): IndexChanges {
    const changes = this.filling
    this.writing = changes
    this.filling = new IndexChanges()
    return changes
  }

  /** Returns the changes of a write that is certainly not on disk to the next write. */
  requeue(changes: IndexChanges): void {
    this.filling.mergeOlder(changes)
    this.writing = undefined
  }
}
