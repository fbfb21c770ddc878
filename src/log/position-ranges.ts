/** A set of log positions, stored as ranges: damage usually covers many adjacent positions. */

/** A range of positions, both ends included. */
export type PositionSpan = readonly [first: number, last: number]

/**
 * Most ranges in a set. Beyond it, the two highest ranges are joined, and the set also contains the gap between them.
 */
export const RANGES_MAX = 10_000
const RANGES_SHOWN = 20

export class PositionRanges {
  /** Rising; neither overlapping nor adjacent. */
  readonly #ranges: [number, number][] = []

  constructor(ranges: Iterable<PositionSpan> = []) {
    for (const [first, last] of ranges) this.add(first, last)
  }

  /** Adds the positions from `first` to `last`. Fastest when called with rising positions. */
  add(first: number, last = first): void {
    const ranges = this.#ranges
    let at = ranges.length
    while (at > 0 && (ranges[at - 1] as PositionSpan)[1] >= first - 1) at--
    let end = at
    const merged: [number, number] = [first, last]
    for (let range = ranges[end]; range !== undefined && range[0] <= last + 1; range = ranges[++end]) {
      merged[0] = Math.min(merged[0], range[0])
      merged[1] = Math.max(merged[1], range[1])
    }
    ranges.splice(at, end - at, merged)
    if (ranges.length <= RANGES_MAX) return
    const [, highest] = ranges.pop() as PositionSpan
    ;(ranges.at(-1) as [number, number])[1] = highest
  }

  has(position: number): boolean {
    const ranges = this.#ranges
    let low = 0
    let high = ranges.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ranges[middle] as PositionSpan)[1] < position) low = middle + 1
      else high = middle
    }
    const range = ranges[low]
    return range !== undefined && range[0] <= position
  }

  /** Returns the highest positions of the set below `position`, at most `count`, in rising order. */
  before(position: number, count: number): number[] {
    const found: number[] = []
    for (let i = this.#ranges.length - 1; i >= 0 && found.length < count; i--) {
      const [first, last] = this.#ranges[i] as PositionSpan
      for (let at = Math.min(last, position - 1); at >= first && found.length < count; at--) found.push(at)
    }
    return found.reverse()
  }

  /** Returns the number of positions in the set that are at most `last`. */
  countUpTo(last: number): number {
    return this.#ranges.reduce((sum, range) => sum + Math.max(0, Math.min(range[1], last) - range[0] + 1), 0)
  }

  get size(): number {
    return this.countUpTo(Infinity)
  }

  /** The lowest position; undefined when the set is empty. */
  get first(): number | undefined {
    return this.#ranges[0]?.[0]
  }

  get ranges(): readonly PositionSpan[] {
    return this.#ranges
  }

  /** Returns text like `3–7, 12`. Shows the first 20 ranges and the number of the others. */
  toString(): string {
    const shown = this.#ranges
      .slice(0, RANGES_SHOWN)
      .map(([first, last]) => (first === last ? first : `${first}–${last}`))
    const more = this.#ranges.length - shown.length
    return more > 0 ? `${shown.join(', ')} and ${more} more ranges` : shown.join(', ')
  }
}
