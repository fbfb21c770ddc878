/** Which known name somebody may have meant by one that is not known. */

/** Characters of a name that are looked at. */
const LOOKED_AT = 40

/** The known name with the fewest edits. */
export function nearest(name: string, known: readonly string[]): string {
  let best = known[0] ?? ''
  let least = Infinity
  for (const candidate of known) {
    const distance = edits(name.slice(0, LOOKED_AT).toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/**
 * The known name that is so near that the other must be a slip of it: one edit away, or two when the name is longer than
 * five characters. Two neighbours that have changed places are one edit.
 */
export function meantBy(name: string, known: readonly string[]): string | undefined {
  const candidate = nearest(name, known)
  const allowed = name.length > 5 ? 2 : 1
  return edits(name.slice(0, LOOKED_AT).toLowerCase(), candidate.toLowerCase()) <= allowed ? candidate : undefined
}

/** Insertions, deletions, replacements and swaps of neighbours that make one text the other. */
function edits(one: string, other: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i++) {
    const current = [i]
    for (let j = 1; j <= other.length; j++) {
      const replaced = (last[j - 1] as number) + (one[i - 1] === other[j - 1] ? 0 : 1)
      let least = Math.min(replaced, (last[j] as number) + 1, (current[j - 1] as number) + 1)
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      if (isSwap) least = Math.min(least, (beforeLast[j - 2] as number) + 1)
      current.push(least)
    }
    beforeLast = last
    last = current
  }
  return last[other.length] as number
}
