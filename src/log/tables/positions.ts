/** Positions of the log as ranges, and the ranges that keys of tables bound. */
import { keyPosition } from '../format.js'
import { positionRange } from '../log-damage.js'
import { KEY_TRAILER_BYTES } from './format/table-block.js'

/** Positions, both ends included. */
export interface PositionRange {
  readonly first: number
  readonly last: number
}

const POSITION_BYTES = 8

/** The key as its user knows it. @param key internal */
export function userKey(key: Buffer): Buffer {
  return key.subarray(0, key.length - KEY_TRAILER_BYTES)
}

/** The first position whose key comes after this one, which may be a shortened key between two. @param key internal */
export function firstPositionAfter(key: Buffer): number {
  return positionFrom(key) + (isPosition(key) ? 1 : 0)
}

/** The first position whose key does not come before this one. @param key internal */
export function positionFrom(key: Buffer): number {
  const padded = Buffer.alloc(POSITION_BYTES)
  userKey(key).copy(padded)
  return keyPosition(padded)
}

/** The last position whose key does not come after this one. @param key internal */
export function lastPositionUpTo(key: Buffer): number {
  return positionFrom(key) - (isPosition(key) ? 0 : 1)
}

/** True for the key of a record; other keys are the meta's, or are shortened. @param key internal */
export function isPosition(key: Buffer): boolean {
  return key.length >= POSITION_BYTES + KEY_TRAILER_BYTES
}

/** What is in some ranges and not in others; rising, and joined where they touch. */
export function without(ranges: readonly PositionRange[], taken: readonly PositionRange[]): PositionRange[] {
  const holes = joined(taken)
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

/** True when some ranges hold all of another. */
export function isWithin(range: PositionRange, ranges: readonly PositionRange[]): boolean {
  return without([range], ranges).length === 0
}

/** The same positions in as few ranges as they need, rising. */
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

/** Ranges in words: `3–7, 12`. */
export function rangesText(ranges: readonly PositionRange[]): string {
  const texts = ranges.slice(0, 20).map(({ first, last }) => positionRange(first, last))
  return ranges.length > 20 ? `${texts.join(', ')} and ${ranges.length - 20} more ranges` : texts.join(', ')
}
