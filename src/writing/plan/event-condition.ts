/**
 * Conditions on what the whole log holds (native contract §4): an append is refused when an event after a position
 * has one of these types and all of these tags. Two decisions that exclude each other then cannot both be taken,
 * whatever streams they write to.
 */
import type { Principal } from '../../access/permissions.js'
import type { StoredRecord } from '../../log/format.js'
import { isSystemStream } from '../../streams/names.js'

/** An event matches when it has one of the types (if any are named) and all of the tags. */
export interface MatchItem {
  readonly types: readonly string[]
  readonly tags: readonly string[]
}

export interface EventCondition {
  /** Not empty, and each names a type or a tag. An event in the way matches one of them. */
  readonly items: readonly MatchItem[]
  /** Only events after this position count; -1 for all. */
  readonly after: number
  /** Its place among the conditions of the request. */
  readonly index: number
  /** Only events that this principal may read count; undefined: all. */
  readonly seenBy?: Principal | undefined
}

/** The first event in the way. */
export interface Match {
  readonly position: number
  readonly type: string
}

/** The search does not hold any more: events that were hidden from it may be visible now. */
export const LOOK_AGAIN = 'look-again'
export type LookAgain = typeof LOOK_AGAIN

export function itemMatches({ types, tags }: MatchItem, record: StoredRecord): boolean {
  if (record.removed || record.tombstone || isSystemStream(record.streamBytes)) return false
  if (types.length > 0 && !types.includes(record.type)) return false
  if (tags.length === 0) return true
  if (!record.hasTags) return false
  const held = record.tags
  return tags.every((tag) => held.includes(tag))
}

/** How many types and tags items name together. */
export function namesIn(items: readonly MatchItem[]): number {
  return items.reduce((sum, { types, tags }) => sum + types.length + tags.length, 0)
}
