/**
 * Conditions on events of the whole log (native contract §4). An append is refused when an event after a given position
 * has one of the given types and all of the given tags. So two appends that exclude each other cannot both succeed,
 * even when they write to different streams.
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
  /** Not empty; each names a type or a tag. The condition forbids every event that matches at least one item. */
  readonly items: readonly MatchItem[]
  /** Only events after this position count; -1: all events. */
  readonly after: number
  /** Index of this condition among the conditions of the request. */
  readonly index: number
  /** Only events that this principal may read count; undefined: all events. */
  readonly seenBy?: Principal | undefined
}

/** The first event that a condition forbids. */
export interface Match {
  readonly position: number
  readonly type: string
}

/** The search is out of date: events that were hidden from it may be visible now. */
export const LOOK_AGAIN = 'look-again'
export type LookAgain = typeof LOOK_AGAIN

interface TaggedItem {
  /** Undefined: any type. */
  readonly types: ReadonlySet<string> | undefined
  readonly tags: readonly string[]
}

/** Indexes items by type and tag, so that the cost of matching a record does not grow with the number of items. */
export class ItemMatcher {
  /** Types of the items that name no tag. */
  readonly #types = new Set<string>()
  /** Each item is listed under its rarest tag: the one that the fewest items name. */
  readonly #byTag = new Map<string, TaggedItem[]>()

  constructor(items: readonly MatchItem[]) {
    const counts = new Map<string, number>()
    for (const { tags } of items) for (const tag of tags) counts.set(tag, (counts.get(tag) ?? 0) + 1)
    for (const { types, tags } of items) {
      if (tags.length === 0) {
        for (const type of types) this.#types.add(type)
        continue
      }
      let rarest = tags[0] as string
      for (const tag of tags) if ((counts.get(tag) ?? 0) < (counts.get(rarest) ?? 0)) rarest = tag
      const item = { types: types.length === 0 ? undefined : new Set(types), tags }
      const others = this.#byTag.get(rarest)
      if (others === undefined) this.#byTag.set(rarest, [item])
      else others.push(item)
    }
  }

  /**
   * Returns true when the record matches at least one item. Removed records, tombstones and system streams never match.
   */
  matches(record: StoredRecord): boolean {
    if (record.removed || record.tombstone || isSystemStream(record.streamBytes)) return false
    if (this.#types.size > 0 && this.#types.has(record.type)) return true
    if (this.#byTag.size === 0 || !record.hasTags) return false
    const held = record.tags
    for (const tag of held) {
      for (const { types, tags } of this.#byTag.get(tag) ?? NONE) {
        if (types?.has(record.type) === false) continue
        if (tags.every((wanted) => held.includes(wanted))) return true
      }
    }
    return false
  }
}

const NONE: readonly TaggedItem[] = []

/** Returns the total number of types and tags in the items. */
export function namesIn(items: readonly MatchItem[]): number {
  return items.reduce((sum, { types, tags }) => sum + types.length + tags.length, 0)
}
