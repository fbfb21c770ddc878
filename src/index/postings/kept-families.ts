/**
 * The families of lists that an index keeps, the log position that each covers, and the rules by which they were built.
 */
import { blockPrefix, type Family, families, family, headKey, INDEX_STATE_KEY } from '../../log/format.js'
import { encodeState, type IndexState } from '../storage/index-state.js'
import type { IndexStore } from '../storage/index-store.js'
import { endOfPrefix } from './lists-by-name.js'

/** The rule of lists in whose state no rule is recorded. */
const USUAL_RULE = 'first:-'

/** The families that each setting of --run-projections keeps. */
export const kindsOf: Record<'none' | 'system' | 'all', readonly Family[]> = {
  none: [family.stream, family.tag, family.tombstone],
  system: families,
  all: families
}

/** Entries to delete in one batch. */
const CLEAR_CHUNK = 10_000

export class KeptFamilies {
  readonly #store: IndexStore
  /** The kept families, each with the log position that it covers; undefined when it follows the log. */
  readonly #kept = new Map<Family, number | undefined>()

  constructor(store: IndexStore, kept: readonly Family[]) {
    this.#store = store
    const { families: states, goodTo } = store.state
    for (const kind of kept) {
      const covered = states[kind]?.goodTo ?? -1
      this.#kept.set(kind, covered < goodTo ? covered : undefined)
    }
  }

  /** Returns true when lists of this family can be read. While the family is behind, they lack their end. */
  has(kind: Family): boolean {
    return this.#kept.has(kind)
  }

  /** Returns true when the lists of this family follow the log. */
  isCurrent(kind: Family): boolean {
    return this.#kept.has(kind) && this.#kept.get(kind) === undefined
  }

  /** The families that are being filled, with the log position that each covers. */
  get behind(): ReadonlyMap<Family, number> {
    const behind = new Map<Family, number>()
    for (const [kind, covered] of this.#kept) if (covered !== undefined) behind.set(kind, covered)
    return behind
  }

  /** Returns the rule by which a family's lists were built. */
  ruleOf(kind: Family): string | undefined {
    return this.#store.state.families[kind]?.rule
  }

  /** Returns the log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    const { goodTo } = this.#store.state
    return Math.min(this.#kept.get(kind) ?? goodTo, goodTo)
  }

  /** Records that a family was filled up to `to`. From `appliedTo` on it follows the log. */
  filled(kind: Family, to: number, appliedTo: number): void {
    this.#kept.set(kind, to >= appliedTo ? undefined : to)
  }

  /** Returns the states of all families for an index state that covers the position `goodTo`. */
  statesAt(goodTo: number): IndexState['families'] {
    const states = { ...this.#store.state.families }
    for (const [kind, covered] of this.#kept) states[kind] = { ...states[kind], goodTo: covered ?? goodTo }
    return states
  }

  /**
   * Empties the families whose lists were built by another rule. They must then be filled from the start of the log.
   * @param signal when aborted, rejects with the signal's reason; the next start empties the rest
   */
  async followRules(rules: Partial<Record<Family, string>>, signal?: AbortSignal): Promise<void> {
    const store = this.#store
    for (const [kind, rule] of Object.entries(rules) as [Family, string][]) {
      const before = store.state.families[kind]
      if (before !== undefined && (before.rule ?? USUAL_RULE) !== rule) {
        // An empty rule until the family is empty: after a crash in between, the next start empties it again.
        store.setFamily(kind, { goodTo: -1, rule: '', emptied: (before.emptied ?? 0) + 1 })
        await this.#clear(kind, signal)
        if (this.#kept.has(kind) && store.state.goodTo >= 0) this.#kept.set(kind, -1)
      }
      store.setFamily(kind, { goodTo: -1, ...store.state.families[kind], rule })
    }
  }

  async #clear(kind: Family, signal: AbortSignal | undefined): Promise<void> {
    const { level, state } = this.#store
    let batch = level.batch()
    batch.put(INDEX_STATE_KEY, encodeState(state))
    for (const prefix of [headKey(kind, ''), blockPrefix(kind)]) {
      let count = 0
      for await (const { key } of level.entries({ gte: prefix, lt: endOfPrefix(prefix) })) {
        batch.del(key)
        if (++count % CLEAR_CHUNK !== 0) continue
        await level.write(batch)
        signal?.throwIfAborted()
        batch = level.batch()
      }
    }
    await level.write(batch)
  }
}
