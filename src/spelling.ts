/** Suggests a known name for a misspelt one. */

/** Characters of a name that are compared. */
const COMPARED_CHARS = 40

/** Returns the known name with the fewest edits. */
export function nearest(name: string, known: readonly string[]): string {
  let best = known[0] ?? ''
  let least = Infinity
  for (const candidate of known) {
    const distance = edits(name.slice(0, COMPARED_CHARS).toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/**
 * Returns the known name that a misspelt name probably stands for; undefined when none is close enough. At most one
 * edit is allowed, or two when the name is longer than five characters. A swap of two neighbours is one edit.
 */
export function meantBy(name: string, known: readonly string[]): string | undefined {
  const candidate = nearest(name, known)
  const allowed = name.length > 5 ? 2 : 1
  return edits(name.slice(0, COMPARED_CHARS).toLowerCase(), candidate.toLowerCase()) <= allowed ? candidate : undefined
}

/** Returns the fewest insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
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
