/** The families of lists that an index keeps, how far each covers the log, and the rules that they were made by. */
import { blockPrefix, type Family, families, family, headKey, INDEX_STATE_KEY } from '../../log/format.js'
import { encodeState, type IndexState } from '../storage/index-state.js'
import type { IndexStore } from '../storage/index-store.js'
import { endOfPrefix } from './lists-by-name.js'

/** Lists whose rule was not noted down were made by this one. */
const USUAL_RULE = 'first:-'

/** The families that each setting of --run-projections keeps. */
export const kindsOf: Record<'none' | 'system' | 'all', readonly Family[]> = {
  none: [family.stream, family.tag, family.tombstone],
  system: families,
  all: families
}

/** Entries deleted in one batch. */
const CLEAR_CHUNK = 10_000

export class KeptFamilies {
  readonly #store: IndexStore
  /** The families that are kept, each with the log position it covers; those that follow the log have none. */
  readonly #kept = new Map<Family, number | undefined>()

  constructor(store: IndexStore, kept: readonly Family[]) {
    this.#store = store
    const { families: states, goodTo } = store.state
    for (const kind of kept) {
      const covered = states[kind]?.goodTo ?? -1
      this.#kept.set(kind, covered < goodTo ? covered : undefined)
    }
  }

  /** True when lists of this family can be read; while it is behind they lack their end. */
  has(kind: Family): boolean {
    return this.#kept.has(kind)
  }

  /** True when the lists of this family hold all there is. */
  isCurrent(kind: Family): boolean {
    return this.#kept.has(kind) && this.#kept.get(kind) === undefined
  }

  /** The families that are being filled, with the log position each covers. */
  get behind(): ReadonlyMap<Family, number> {
    const behind = new Map<Family, number>()
    for (const [kind, covered] of this.#kept) if (covered !== undefined) behind.set(kind, covered)
    return behind
  }

  /** The rule that a family's lists were made by. */
  ruleOf(kind: Family): string | undefined {
    return this.#store.state.families[kind]?.rule
  }

  /** The log position that a family's lists cover on disk. */
  covers(kind: Family): number {
    const { goodTo } = this.#store.state
    return Math.min(this.#kept.get(kind) ?? goodTo, goodTo)
  }

  /** A family has been filled up to a position. @param appliedTo where a family follows the log */
  filled(kind: Family, to: number, appliedTo: number): void {
    this.#kept.set(kind, to >= appliedTo ? undefined : to)
  }

  /** What the state of the index says of all families once it covers a position. */
  statesAt(goodTo: number): IndexState['families'] {
    const states = { ...this.#store.state.families }
    for (const [kind, covered] of this.#kept) states[kind] = { ...states[kind], goodTo: covered ?? goodTo }
    return states
  }

  /**
   * Empties the families whose lists another rule has made; they are behind from the beginning then.
   * @param signal aborted: it ends with the signal's reason, and the next start empties the rest
   */
  async followRules(rules: Partial<Record<Family, string>>, signal?: AbortSignal): Promise<void> {
    const store = this.#store
    for (const [kind, rule] of Object.entries(rules) as [Family, string][]) {
      const before = store.state.families[kind]
      if (before !== undefined && (before.rule ?? USUAL_RULE) !== rule) {
        // No rule until it is empty: a crash in the middle of the emptying is found out at the next start.
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
