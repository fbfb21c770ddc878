/**
 * Places: for each kind and name, the cursor up to which everything was dealt with. This interface does not say where
 * they are stored.
 */
import type { Checkpoint, PlaceKind } from '../log/format.js'

export type { Checkpoint, MovedPlace, PlaceKind } from '../log/format.js'

export interface SavedPlace extends Checkpoint {
  /**
   * Up to this position, the log in which the place was saved holds the same events as this log; Infinity: it is this
   * log. Events after that position are lost, and a cursor of one of them means nothing.
   */
  readonly validUpTo: number
}

/** A place is durable, and never goes back within a generation. Losing one costs repetition, never an event. */
export interface Places {
  /** @returns undefined when there is none, or it was saved in a log that shares nothing with this one */
  get(kind: PlaceKind, name: string): SavedPlace | undefined

  /** The names of a kind that have a place. */
  names(kind: PlaceKind): string[]

  /**
   * Saves a place and resolves when it is on disk. Within a generation a place never goes back: a lower cursor leaves
   * it as it is.
   * @throws `stopping` when the store closes before it could be written; `read-only` when the disk is full: it is in
   * memory then, and is written when there is space
   */
  save(kind: PlaceKind, name: string, place: Checkpoint): Promise<void>

  /** Removes a place; resolves when that is on disk. @throws as `save` */
  remove(kind: PlaceKind, name: string): Promise<void>

  /** Why the last write failed; undefined when it succeeded. */
  readonly failure: Error | undefined

  /** Tries once more to write the places that are not on disk, and closes. */
  close(): Promise<void>
}
