/**
 * Index streams (reference 13, 19): names under which the lists of a family are read. Nothing is ever appended to
 * them; they grow with the events they list.
 */
import { type Family, family } from '../log/format.js'

export interface IndexStream {
  readonly kind: Family
  /** The list's name in its family. */
  readonly name: string
}

const PREFIXES: readonly (readonly [string, Family])[] = [
  ['$ce-', family.category],
  ['$et-', family.type],
  ['$bc-', family.correlation],
  ['$category-', family.categoryStreams]
]

/** The list that a stream's name means; undefined for a stream of its own. */
export function indexStreamOf(stream: string): IndexStream | undefined {
  if (stream.charCodeAt(0) !== 0x24) return undefined
  if (stream === '$streams') return { kind: family.streams, name: '' }
  for (const [prefix, kind] of PREFIXES) {
    if (stream.startsWith(prefix) && stream.length > prefix.length) return { kind, name: stream.slice(prefix.length) }
  }
  return undefined
}
