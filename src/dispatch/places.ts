/**
 * Places: the checkpoints of consumers, by kind and name. A checkpoint has the cursor up to which all events were
 * handled. This interface does not define where they are stored.
 */
import type { Checkpoint, PlaceKind } from '../log/format.js'

export type { Checkpoint, MovedPlace, PlaceKind } from '../log/format.js'

export interface SavedPlace extends Checkpoint {
  /**
   * The last position up to which the log at the time of the save has the same events as this log; Infinity: it is this
   * log. Later events of that log are lost, and cursors of them are meaningless here.
   */
  readonly validUpTo: number
}

/**
 * Durable checkpoints. Within a generation a cursor never goes back. If a checkpoint is lost, events are sent again,
 * but none is left out.
 */
export interface Places {
  /** @returns undefined when there is none, or it was saved with a log that has no events in common with this one */
  get(kind: PlaceKind, name: string): SavedPlace | undefined

  /** Returns the names of a kind that have a checkpoint. */
  names(kind: PlaceKind): string[]

  /**
   * Saves a checkpoint and resolves when it is on disk. Within a generation a lower cursor is ignored.
   * @throws DaybookError `stopping` when the store closes before the checkpoint is written; `read-only` when the disk
   * is full: the checkpoint is then in memory, and is written when there is space
   * @throws when the generation is lower than the saved one
   */
  save(kind: PlaceKind, name: string, place: Checkpoint): Promise<void>

  /** Removes a checkpoint; resolves when the removal is on disk. @throws as `save` */
  remove(kind: PlaceKind, name: string): Promise<void>

  /** The error of the last write; undefined when it succeeded. */
  readonly failure: Error | undefined

  /** Tries once more to write the checkpoints that are not on disk, and closes. */
  close(): Promise<void>
}
