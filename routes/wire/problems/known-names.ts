/** Error texts for unknown names, with the most similar known name. */
import { nearest } from '../../../src/spelling.js'

/** Returns an error text for an unknown name: it suggests the most similar known name and lists all known names. */
export function unknownName(name: string, known: readonly string[]): string {
  if (known.length === 0) return `Unknown name "${name.slice(0, 100)}"; no names are allowed here.`
  return `Unknown name "${name.slice(0, 100)}"; did you mean "${nearest(name, known)}"? Known: ${known.join(', ')}.`
}
