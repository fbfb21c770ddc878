/** The heads of lists: how many entries each has, and its last ones. Those in use are in memory. */
import { LRUCache } from 'lru-cache'
import { limits } from '../../limits.js'
import { decodeHead, type Family, families, headKey, type ListHead, nextVersion, openEntry } from '../../log/format.js'
import { nextTurn } from '../../time/turns.js'
import { WorkCounter } from '../../work-counter.js'
import type { ListName } from '../posting.js'
import type { IndexStore } from '../storage/index-store.js'
import type { IndexChanges } from './index-changes.js'
import type { PendingWrites } from './pending-writes.js'

const NONE = Symbol('no such list')
/** From so many on, lists are looked for in the table of lists first. */
const MANY = 64

export class ListHeads {
  readonly #store: IndexStore
  readonly #pending: PendingWrites
  /** Heads as they are on disk, by family and name. Made when a family is first used: each takes its room at once. */
  readonly #cached: Partial<Record<Family, LRUCache<string, ListHead | typeof NONE>>> = {}

  constructor(store: IndexStore, pending: PendingWrites) {
    this.#store = store
    this.#pending = pending
  }

  /** The head of a list if it is in memory: undefined is "not known", null is "there is none". */
  inMemory(kind: Family, name: string): ListHead | null | undefined {
    const changed = this.#pending.head(kind, name)
    if (changed !== undefined) return changed
    const known = this.#cached[kind]?.get(name)
    return known === NONE ? null : known
  }

  /** A list's head as it is now; the copy does not change when the list grows. */
  async get(kind: Family, name: string): Promise<ListHead | undefined> {
    const known = this.inMemory(kind, name)
    if (known !== undefined) return snapshot(known)
    await this.load([[kind, name]])
    return snapshot(this.inMemory(kind, name))
  }

  /**
   * Brings heads into memory with one read. Those that are changed meanwhile keep their changes.
   * @throws `index-damaged` when a head is missing, damaged, or not the newest
   */
  async load(lists: readonly ListName[]): Promise<void> {
    const missing = lists.filter(([kind, name]) => this.inMemory(kind, name) === undefined)
    if (missing.length === 0) return
    for (const [list, head] of await this.find(missing)) {
      const [kind, name] = list
      if (this.inMemory(kind, name) === undefined) this.#keep(kind, name, head ?? NONE)
    }
  }

  /**
   * Heads of lists that are not in memory, with one read; they are not kept. Lists that have come into memory meanwhile are
   * left out.
   * @returns null for a list that does not exist
   * @throws as `load`
   */
  async find(lists: readonly ListName[]): Promise<Map<ListName, ListHead | null>> {
    const { damage } = this.#store
    for (;;) {
      const missing = lists.filter(([kind, name]) => this.inMemory(kind, name) === undefined)
      if (missing.length === 0) return new Map()
      const { writes } = this.#store.state
      const wasWriting = this.#pending.writing !== undefined
      const keys = missing.map(([kind, name]) => headKey(kind, name))
      const { values, versions } = await damage.watch(this.#read(missing, keys))
      // What was read may be older than a write that has ended since, whose heads may have left memory again.
      if (writes !== this.#store.state.writes) continue
      const found = new Map<ListName, ListHead | null>()
      const odd = missing.find((list, i) => {
        if (this.inMemory(list[0], list[1]) !== undefined) return false
        const head = this.#opened(keys[i] as Buffer, values[i], versions[i] as number[])
        if (head !== undefined) found.set(list, head)
        return head === undefined
      })
      if (odd === undefined) return found
      // While the index is written, a head may be newer on disk than the table in memory: look again after that.
      if (!wasWriting || this.#pending.flushing === undefined)
        throw damage.found(`the head of ${odd[0]} "${odd[1]}" is not the newest`)
      await this.#pending.flushing.catch(() => {})
    }
  }

  /** The heads as they stand on disk, and the versions that the table of lists has of each. */
  async #read(
    lists: readonly ListName[],
    keys: readonly Buffer[]
  ): Promise<{ values: (Buffer | undefined)[]; versions: number[][] }> {
    const { level, lists: table } = this.#store
    const hashes = lists.map(([kind, name]) => this.#store.hashOf(kind, name))
    if (lists.length < MANY) {
      const [values, versions] = await Promise.all([level.getMany([...keys]), table.find(hashes)])
      return { values, versions }
    }
    // Many lists are mostly new: the table says so with fewer reads.
    const versions = await table.find(hashes)
    const held = keys.filter((_, i) => (versions[i] as number[]).length > 0)
    const found = held.length === 0 ? [] : await level.getMany(held)
    let next = 0
    return { values: versions.map(({ length }) => (length > 0 ? found[next++] : undefined)), versions }
  }

  /**
   * @param value bytes of a head on disk, undefined: there are none
   * @param versions of lists that may be this one, as the table of lists has them
   * @returns null when there is no such list, undefined when the head is not the one that the table knows
   */
  #opened(key: Buffer, value: Buffer | undefined, versions: readonly number[]): ListHead | null | undefined {
    if (value === undefined) return versions.length > 0 ? undefined : null
    const head = this.#store.damage.watchSync(() => decodeHead(openEntry(key, value)))
    return versions.includes(head.version) ? head : undefined
  }

  #keep(kind: Family, name: string, head: ListHead | typeof NONE): void {
    this.#cached[kind] ??= new LRUCache({ max: limits.heads_cached_max })
    this.#cached[kind].set(name, head)
  }

  /** The heads of a write are on disk, each one version further. Others have turns meanwhile. */
  async written(changes: IndexChanges): Promise<void> {
    const work = new WorkCounter()
    let kept = 0
    for (const kind of families) {
      for (const [name, head] of changes.heads[kind]) {
        if (work.add(1)) await nextTurn()
        head.version = nextVersion(head.version)
        const { filling, staged } = this.#pending
        const newer = filling.heads[kind].get(name)
        const newest = staged?.changes.heads[kind].get(name)
        if (newer !== undefined) newer.version = head.version
        if (newest !== undefined) newest.version = head.version
        if (newer === undefined && kept++ < limits.heads_loaded_max) this.#keep(kind, name, head)
        else this.#cached[kind]?.delete(name)
      }
    }
  }
}

function snapshot(head: ListHead | null | undefined): ListHead | undefined {
  return head ? { ...head } : undefined
}
