/**
 * Places: for each name the cursor up to which everything was dealt with. Consumers keep their places through this
 * interface, so that places can be stored elsewhere than on this disk.
 */
import type { Checkpoint, PlaceKind } from '../log/format.js'

export type { Checkpoint, MovedPlace, PlaceKind } from '../log/format.js'

export interface SavedPlace extends Checkpoint {
  /**
   * The last position at which the log that it was saved in holds the same event as this one; Infinity: it is the same
   * log. A cursor of an event after that position is lost with the event.
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

  /** Tries once to write the places that wait, and closes. */
  close(): Promise<void>
}
