/** A posting: the properties of one recorded event that the index stores. */
import type { Family, ListHead } from '../log/format.js'

/** One list: its family, and its name within it. */
export type ListName = readonly [Family, string]

export interface ListedHead {
  name: string
  head: ListHead
}

/** The index entries of one recorded event. */
export interface Posting {
  readonly position: number
  /** The lists to which it belongs, kept or not; the first is its stream. */
  readonly lists: readonly ListName[]
  readonly created: number
  /** The id of 16 bytes; undefined when it encodes the event's position and so needs no index entry. */
  readonly id: Buffer | undefined
  readonly number: number
}

/** Returns the number of lists of the same family before the list at `index`. */
export function ordinalOf(lists: readonly ListName[], index: number): number {
  const kind = (lists[index] as ListName)[0]
  let ordinal = 0
  for (let i = 0; i < index; i++) if ((lists[i] as ListName)[0] === kind) ordinal++
  return ordinal
}
