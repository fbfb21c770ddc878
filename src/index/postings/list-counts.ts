/**
 * Counts the lists whose names begin with certain prefixes, so that a list that LevelDB does not return is detected.
 */
import type { Family } from '../../log/format.js'
import type { ListName } from '../posting.js'
import type { IndexState } from '../storage/index-state.js'

export class ListCounts {
  readonly #prefixes: readonly ListName[]
  readonly #counts: Map<string, number>
  readonly #complete: boolean

  /** @param prefixes pairs of a family and a name prefix */
  constructor(prefixes: readonly ListName[], { goodTo, counts }: IndexState) {
    this.#prefixes = prefixes
    this.#counts = new Map(Object.entries(counts))
    this.#complete = goodTo < 0 || prefixes.every((prefix) => this.#counts.has(prefix.join('')))
  }

  /** True when every prefix has been counted since the index was created. */
  get complete(): boolean {
    return this.#complete
  }

  /** Returns how many lists of a family begin with a prefix; undefined when the prefix is not counted. */
  of(kind: Family, prefix: string): number | undefined {
    return this.#counts.get(kind + prefix)
  }

  /** Returns false when no lists of a family are counted. */
  concerns(kind: Family): boolean {
    return this.#prefixes.some(([counted]) => counted === kind)
  }

  /** Counts a new list. */
  add(kind: Family, name: string): void {
    for (const [counted, prefix] of this.#prefixes) {
      if (counted !== kind || !name.startsWith(prefix)) continue
      this.#counts.set(kind + prefix, (this.#counts.get(kind + prefix) ?? 0) + 1)
    }
  }

  /** Returns all counts, for the state of the index. */
  written(): IndexState['counts'] {
    for (const [kind, prefix] of this.#prefixes) this.#counts.set(kind + prefix, this.#counts.get(kind + prefix) ?? 0)
    return Object.fromEntries(this.#counts)
  }
}
