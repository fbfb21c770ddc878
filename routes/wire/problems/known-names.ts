/** Names that nobody knows here, and the known ones that may have been meant. */

/** Says that there is no such name, and which one may have been meant. */
export function unknownName(name: string, known: readonly string[]): string {
  if (known.length === 0) return `There is no "${name.slice(0, 100)}" here; nothing is known.`
  return `There is no "${name.slice(0, 100)}"; did you mean "${nearest(name, known)}"? Known: ${known.join(', ')}.`
}

/** The known name with the fewest edits. */
export function nearest(name: string, known: readonly string[]): string {
  let best = known[0] ?? ''
  let least = Infinity
  for (const candidate of known) {
    const distance = edits(name.slice(0, 40).toLowerCase(), candidate.toLowerCase())
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

function edits(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, i) => i)
  for (let i = 1; i <= one.length; i++) {
    const current = [i]
    for (let j = 1; j <= other.length; j++) {
      const replaced = (previous[j - 1] as number) + (one[i - 1] === other[j - 1] ? 0 : 1)
      current.push(Math.min(replaced, (previous[j] as number) + 1, (current[j - 1] as number) + 1))
    }
    previous = current
  }
  return previous[other.length] as number
}
