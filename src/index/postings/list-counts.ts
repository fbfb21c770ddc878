/** How many lists there are whose names begin with certain prefixes, so that a list that LevelDB hides is missed. */
import type { Family } from '../../log/format.js'
import type { ListName } from '../posting.js'
import type { IndexState } from '../storage/index-state.js'

export class ListCounts {
  readonly #prefixes: readonly ListName[]
  readonly #counts: Map<string, number>
  readonly #complete: boolean

  /** @param prefixes families, each with a prefix of names @param state of the index as it stands on disk */
  constructor(prefixes: readonly ListName[], { goodTo, counts }: IndexState) {
    this.#prefixes = prefixes
    this.#counts = new Map(Object.entries(counts))
    this.#complete = goodTo < 0 || prefixes.every((prefix) => this.#counts.has(prefix.join('')))
  }

  /** True when every prefix that is to be counted was counted from the beginning. */
  get complete(): boolean {
    return this.#complete
  }

  /** How many lists of a family begin with a prefix; undefined when that is not counted. */
  of(kind: Family, prefix: string): number | undefined {
    return this.#counts.get(kind + prefix)
  }

  /** False when no list of a family is counted. */
  concerns(kind: Family): boolean {
    return this.#prefixes.some(([counted]) => counted === kind)
  }

  /** There is one list more. */
  add(kind: Family, name: string): void {
    for (const [counted, prefix] of this.#prefixes) {
      if (counted !== kind || !name.startsWith(prefix)) continue
      this.#counts.set(kind + prefix, (this.#counts.get(kind + prefix) ?? 0) + 1)
    }
  }

  /** All counts as the state of the index holds them. */
  written(): IndexState['counts'] {
    for (const [kind, prefix] of this.#prefixes) this.#counts.set(kind + prefix, this.#counts.get(kind + prefix) ?? 0)
    return Object.fromEntries(this.#counts)
  }
}
