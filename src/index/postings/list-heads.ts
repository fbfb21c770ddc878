/** The heads of lists: the number of entries and the last of them. Heads in use are cached. */
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
/** For at least this many lists, the table of lists is read first. */
const MANY = 64

export class ListHeads {
  readonly #store: IndexStore
  readonly #pending: PendingWrites
  /** Heads on disk, by family and name. A cache is created on first use, because it allocates its memory at once. */
  readonly #cached: Partial<Record<Family, LRUCache<string, ListHead | typeof NONE>>> = {}

  constructor(store: IndexStore, pending: PendingWrites) {
    this.#store = store
    this.#pending = pending
  }

  /** Returns the head of a list if it is in memory; undefined: not in memory; null: there is no such list. */
  inMemory(kind: Family, name: string): ListHead | null | undefined {
    const changed = this.#pending.head(kind, name)
    if (changed !== undefined) return changed
    const known = this.#cached[kind]?.get(name)
    return known === NONE ? null : known
  }

  /** Resolves with a copy of a list's current head. The copy does not change when the list grows. */
  async get(kind: Family, name: string): Promise<ListHead | undefined> {
    const known = this.inMemory(kind, name)
    if (known !== undefined) return snapshot(known)
    await this.load([[kind, name]])
    return snapshot(this.inMemory(kind, name))
  }

  /**
   * Loads heads into memory with one read. Heads that are changed meanwhile keep their changes.
   * @throws DaybookError `index-damaged` when a head is missing, damaged, or not the newest version
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
   * Reads the heads of lists that are not in memory, without caching them. Lists that have come into memory meanwhile
   * are left out of the result.
   * @returns heads by list; null for a list that does not exist
   * @throws DaybookError as `load`
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
      // If a write has ended during the read, the values may be older, and the written heads may be evicted: read
      // again.
      if (writes !== this.#store.state.writes) continue
      const found = new Map<ListName, ListHead | null>()
      const mismatch = missing.find((list, i) => {
        if (this.inMemory(list[0], list[1]) !== undefined) return false
        const head = this.#opened(keys[i] as Buffer, values[i], versions[i] as number[])
        if (head !== undefined) found.set(list, head)
        return head === undefined
      })
      if (mismatch === undefined) return found
      // During a write, a head on disk may be newer than the table in memory: read again after the write.
      if (!wasWriting || this.#pending.flushing === undefined)
        throw damage.found(`the head of ${mismatch[0]} "${mismatch[1]}" is not the newest`)
      await this.#pending.flushing.catch(() => {})
    }
  }

  /** Reads the heads on disk, and the versions of each from the table of lists. */
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
    // When there are many lists, most are new. The table shows that with fewer reads than the heads themselves.
    const versions = await table.find(hashes)
    const existing = keys.filter((_, i) => (versions[i] as number[]).length > 0)
    const found = existing.length === 0 ? [] : await level.getMany(existing)
    let next = 0
    return { values: versions.map(({ length }) => (length > 0 ? found[next++] : undefined)), versions }
  }

  /**
   * Decodes a head and compares its version with the table of lists.
   * @param value bytes of the head on disk; undefined: there are none
   * @param versions from the table of lists; several when hashes collide
   * @returns null when there is no such list, undefined when the head does not have a version from the table
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

  /** Advances the versions of the heads of a write that is on disk. Yields to the event loop when there are many. */
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
