/** The heads of lists: how many entries each has, and its last ones. Those in use are in memory. */
import { LRUCache } from 'lru-cache'
import { limits } from '../../limits.js'
import { decodeHead, type Family, families, headKey, type ListHead, nextVersion, openEntry } from '../../log/format.js'
import type { ListName } from '../posting.js'
import type { IndexStore } from '../storage/index-store.js'
import type { IndexChanges } from './index-changes.js'
import type { PendingWrites } from './pending-writes.js'

const NONE = Symbol('no such list')

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
    const { level, lists: table, damage } = this.#store
    for (;;) {
      const missing = lists.filter(([kind, name]) => this.inMemory(kind, name) === undefined)
      if (missing.length === 0) return
      const { writes } = this.#store.state
      const wasWriting = this.#pending.writing !== undefined
      const keys = missing.map(([kind, name]) => headKey(kind, name))
      const hashes = missing.map(([kind, name]) => this.#store.hashOf(kind, name))
      const [values, versions] = await damage.watch(Promise.all([level.getMany(keys), table.find(hashes)]))
      // What was read may be older than a write that has ended since, whose heads may have left memory again.
      if (writes !== this.#store.state.writes) continue
      const odd = missing.find((list, i) => !this.#take(list, keys[i] as Buffer, values[i], versions[i] as number[]))
      if (odd === undefined) return
      // While the index is written, a head may be newer on disk than the table in memory: look again after that.
      if (!wasWriting || this.#pending.flushing === undefined)
        throw damage.found(`the head of ${odd[0]} "${odd[1]}" is not the newest`)
      await this.#pending.flushing.catch(() => {})
    }
  }

  /**
   * Takes a head into memory.
   * @param value its bytes on disk, undefined: there are none
   * @param versions of lists that may be this one, as the table of lists has them
   * @returns false when the head is not the one that the table knows
   */
  #take([kind, name]: ListName, key: Buffer, value: Buffer | undefined, versions: readonly number[]): boolean {
    if (this.inMemory(kind, name) !== undefined) return true
    if (value === undefined) {
      if (versions.length > 0) return false
      this.#keep(kind, name, NONE)
      return true
    }
    const head = this.#store.damage.watchSync(() => decodeHead(openEntry(key, value)))
    if (!versions.includes(head.version)) return false
    this.#keep(kind, name, head)
    return true
  }

  #keep(kind: Family, name: string, head: ListHead | typeof NONE): void {
    this.#cached[kind] ??= new LRUCache({ max: limits.heads_cached_max })
    this.#cached[kind].set(name, head)
  }

  /** The heads of a write are on disk, each one version further. */
  written(changes: IndexChanges): void {
    for (const kind of families) {
      const pending = this.#pending.filling.heads[kind]
      for (const [name, head] of changes.heads[kind]) {
        head.version = nextVersion(head.version)
        const newer = pending.get(name)
        if (newer === undefined) this.#keep(kind, name, head)
        else newer.version = head.version
      }
      for (const name of pending.keys()) this.#cached[kind]?.delete(name)
    }
  }
}

function snapshot(head: ListHead | null | undefined): ListHead | undefined {
  return head ? { ...head } : undefined
}
