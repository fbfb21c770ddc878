/** Changes of the index that are in memory and not yet on disk: two generations, so that one can be written while the other fills. */
import type { Family, ListHead } from '../../log/format.js'
import type { ListName } from '../posting.js'
import { IndexChanges } from './index-changes.js'

/** What a commit changes that is not written yet: no reader sees it. */
export interface StagedChanges {
  readonly changes: IndexChanges
  /** The log position that it reaches. */
  to: number
  /** Lists that it begins and that may be counted. */
  readonly begun: ListName[]
}

export class PendingWrites {
  /** Changes for the next write. */
  filling = new IndexChanges()
  /** Changes of the write that is under way, or of one that failed and may be on disk after all. */
  writing: IndexChanges | undefined
  /** The write that is under way. */
  flushing: Promise<void> | undefined
  /** The log position that everything in memory covers. */
  appliedTo: number
  /** A commit whose changes are being gathered. */
  staged: StagedChanges | undefined

  constructor(appliedTo: number) {
    this.appliedTo = appliedTo
  }

  /** The log position that everything in memory will cover once the commit that is being gathered is written. */
  get reaches(): number {
    return this.staged?.to ?? this.appliedTo
  }

  /** Begins to gather the changes of a commit. */
  stage(): void {
    this.staged = { changes: new IndexChanges(), to: this.appliedTo, begun: [] }
  }

  /** The commit that was gathered is in the log: readers see all of its changes at once. */
  publish({ changes, to }: StagedChanges): void {
    changes.takeOlder(this.filling)
    this.filling = changes
    this.appliedTo = to
    this.staged = undefined
  }

  /** The head of a list that has changed. */
  head(kind: Family, name: string): ListHead | undefined {
    return this.filling.heads[kind].get(name) ?? this.writing?.heads[kind].get(name)
  }

  /** A full block of positions. */
  block(key: string): number[] | undefined {
    return this.filling.blocks.get(key) ?? this.writing?.blocks.get(key)
  }

  /** The position of an event, by `eventIdKey`. */
  positionOfId(key: string): number | undefined {
    return this.filling.ids.get(key) ?? this.writing?.ids.get(key)
  }

  /** Begins a write of all that has changed. @returns the changes that it takes to the disk */
  beginWrite(): IndexChanges {
    const changes = this.filling
    this.writing = changes
    this.filling = new IndexChanges()
    return changes
  }

  /** The changes of a write are certainly not on disk: they wait for the next one. */
  takeBack(changes: IndexChanges): void {
    this.filling.takeOlder(changes)
    this.writing = undefined
  }
}
