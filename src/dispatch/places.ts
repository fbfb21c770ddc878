/**
 * Places: for each name the cursor up to which everything was dealt with. Whoever follows under a name keeps its place
 * through this interface, so that the places can stand elsewhere than on this disk.
 */
import type { Checkpoint, PlaceKind } from '../log/format.js'

export type { Checkpoint, MovedPlace, PlaceKind } from '../log/format.js'

export interface SavedPlace extends Checkpoint {
  /**
   * The last position at which the log that it was saved in holds the same event as this one; Infinity: it is the same
   * log. A cursor that means an event after it was lost with that event.
   */
  readonly validUpTo: number
}

/** Each place is durable, and never goes back within a generation. Losing one costs repetition, never an event. */
export interface Places {
  /** @returns undefined when there is none, or it is about a log that shares nothing with this one */
  get(kind: PlaceKind, name: string): SavedPlace | undefined

  /** The names that have a place. */
  names(kind: PlaceKind): string[]

  /**
   * Saves a place and resolves when it is on disk. Within a generation a place never goes back: a lower cursor leaves it
   * as it is.
   * @throws `stopping` when the store closes before it could be written
   */
  save(kind: PlaceKind, name: string, place: Checkpoint): Promise<void>

  /** Forgets a name; resolves when that is on disk. @throws `stopping` */
  remove(kind: PlaceKind, name: string): Promise<void>

  /** Why places cannot be saved at the moment; undefined when they can. */
  readonly failure: Error | undefined

  /** Writes what waits, once more and no more, and closes. */
  close(): Promise<void>
}
