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

interface TaggedItem {
  /** Undefined: any type. */
  readonly types: ReadonlySet<string> | undefined
  readonly tags: readonly string[]
}

/** Items by the names in them, so that a record looks up its own type and tags, however many items there are. */
export class ItemMatcher {
  /** Types of the items that name no tag. */
  readonly #types = new Set<string>()
  /** Each item by that of its tags which fewest items name. */
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

  /** True when one of the items matches. */
  matches(record: StoredRecord): boolean {
    if (record.removed || record.tombstone || isSystemStream(record.streamBytes)) return false
    if (this.#types.size > 0 && this.#types.has(record.type)) return true
    if (this.#byTag.size === 0 || !record.hasTags) return false
    const held = record.tags
    for (const tag of held) {
      for (const { types, tags } of this.#byTag.get(tag) ?? NONE) {
        if (types?.has(record.type) === false) continue
        if (tags.every((one) => held.includes(one))) return true
      }
    }
    return false
  }
}

const NONE: readonly TaggedItem[] = []

/** How many types and tags items name together. */
export function namesIn(items: readonly MatchItem[]): number {
  return items.reduce((sum, { types, tags }) => sum + types.length + tags.length, 0)
}
