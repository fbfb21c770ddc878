/** Ranges of log positions, and the positions in the internal keys of LevelDB's tables. */
import { keyPosition } from '../format.js'
import { positionRange } from '../log-damage.js'
import { KEY_TRAILER_BYTES } from './format/table-block.js'

/** A range of positions, both ends included. */
export interface PositionRange {
  readonly first: number
  readonly last: number
}

const POSITION_BYTES = 8

/** Returns the user key in an internal key, without sequence number and kind. */
export function userKey(key: Buffer): Buffer {
  return key.subarray(0, key.length - KEY_TRAILER_BYTES)
}

/**
 * Returns the first position whose key sorts after the given key.
 * @param key internal key (the user key and a trailer of 8 bytes); a separator may be a shortened key
 */
export function firstPositionAfter(key: Buffer): number {
  return positionFrom(key) + (isPosition(key) ? 1 : 0)
}

/** Returns the first position whose key sorts at or after the given key. @param key internal key */
export function positionFrom(key: Buffer): number {
  const padded = Buffer.alloc(POSITION_BYTES)
  userKey(key).copy(padded)
  return keyPosition(padded)
}

/** Returns the last position whose key sorts at or before the given key. @param key internal key */
export function lastPositionUpTo(key: Buffer): number {
  return positionFrom(key) - (isPosition(key) ? 0 : 1)
}

/**
 * True for the key of a record; false for the key of the log meta and for a shortened separator.
 * @param key internal key
 */
export function isPosition(key: Buffer): boolean {
  return key.length >= POSITION_BYTES + KEY_TRAILER_BYTES
}

/** Returns the positions of `ranges` that are not in `excluded`, as rising ranges; adjacent ranges are joined. */
export function without(ranges: readonly PositionRange[], excluded: readonly PositionRange[]): PositionRange[] {
  const holes = joined(excluded)
  const left: PositionRange[] = []
  for (const { first, last } of joined(ranges)) {
    let from = first
    for (const hole of holes) {
      if (hole.last < from || hole.first > last) continue
      if (hole.first > from) left.push({ first: from, last: hole.first - 1 })
      from = hole.last + 1
    }
    if (from <= last) left.push({ first: from, last })
  }
  return left
}

/** True when `ranges` together contain all positions of `range`. */
export function isWithin(range: PositionRange, ranges: readonly PositionRange[]): boolean {
  return without([range], ranges).length === 0
}

/** Returns the same positions in the fewest ranges, rising. Ignores empty ranges. */
export function joined(ranges: readonly PositionRange[]): PositionRange[] {
  const rising = ranges.filter(({ first, last }) => first <= last).sort((a, b) => a.first - b.first)
  const all: { first: number; last: number }[] = []
  for (const { first, last } of rising) {
    const before = all.at(-1)
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last)
    else all.push({ first, last })
  }
  return all
}

/** Returns the text of ranges: `3–7, 12`. Shows the first 20. */
export function rangesText(ranges: readonly PositionRange[]): string {
  const texts = ranges.slice(0, 20).map(({ first, last }) => positionRange(first, last))
  return ranges.length > 20 ? `${texts.join(', ')} and ${ranges.length - 20} more ranges` : texts.join(', ')
}
