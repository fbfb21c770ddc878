/** A posting: what the index takes of one recorded event. */
import type { Family, ListHead } from '../log/format.js'

/** One list: its family, and its name within it. */
export type ListName = readonly [Family, string]

export interface ListedHead {
  name: string
  head: ListHead
}

/** What the index must know of one recorded event. */
export interface Posting {
  readonly position: number
  /** The lists it belongs to, whether kept or not; the first is its stream. */
  readonly lists: readonly ListName[]
  readonly created: number
  /** 16 bytes, when the id does not say by itself where the event stands. */
  readonly id: Buffer | undefined
  readonly number: number
}

/** How many lists of the same family a posting has before the one at `index`. */
export function ordinalOf(lists: readonly ListName[], index: number): number {
  const kind = (lists[index] as ListName)[0]
  let ordinal = 0
  for (let i = 0; i < index; i++) if ((lists[i] as ListName)[0] === kind) ordinal++
  return ordinal
}
