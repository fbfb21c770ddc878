/** Names that nobody knows here, and the known ones that may have been meant. */
import { nearest } from '../../../src/spelling.js'

/** Says that there is no such name, and which one may have been meant. */
export function unknownName(name: string, known: readonly string[]): string {
  if (known.length === 0) return `There is no "${name.slice(0, 100)}" here; nothing is known.`
  return `There is no "${name.slice(0, 100)}"; did you mean "${nearest(name, known)}"? Known: ${known.join(', ')}.`
}
