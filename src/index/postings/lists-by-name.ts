/** Reads the lists of a family in order of their names. */
import { decodeHead, type Family, headKey, headKeyName, type ListHead, openEntry } from '../../log/format.js'
import type { ListedHead } from '../posting.js'
import type { IndexStore } from '../storage/index-store.js'
import type { ListCounts } from './list-counts.js'
import type { PendingWrites } from './pending-writes.js'

/** Lists that `all` reads at once. */
const PAGE = 1000

export interface ListRange {
  readonly prefix: string
  readonly after?: string | undefined
  readonly limit: number
}

/** A list on disk, with its head or its fault. */
export interface InspectedList {
  readonly name: string
  readonly head?: ListHead
  readonly fault?: string
}

export class ListsByName {
  readonly #store: IndexStore
  readonly #pending: PendingWrites
  readonly #counts: ListCounts

  constructor(store: IndexStore, pending: PendingWrites, counts: ListCounts) {
    this.#store = store
    this.#pending = pending
    this.#counts = counts
  }

  /**
   * Yields all lists of a family whose names begin with a prefix, in UTF-8 order.
   * @throws DaybookError `index-damaged` when the prefix is counted and a list is missing
   */
  async *all(kind: Family, prefix: string): AsyncGenerator<ListedHead> {
    const before = this.#counts.of(kind, prefix)
    let found = 0
    for (let after: string | undefined; ; ) {
      const page = await this.some(kind, { prefix, after, limit: PAGE })
      yield* page
      found += page.length
      if (page.length < PAGE) break
      after = page.at(-1)?.name
    }
    const count = this.#counts.of(kind, prefix)
    // If a list was added meanwhile, the counts cannot be compared: the scan may have missed it.
    if (count !== undefined && count === before && count !== found) {
      throw this.#store.damage.found(
        `the index counts ${count} lists of ${kind} that begin with "${prefix}", but only ${found} can be read`
      )
    }
  }

  /** Yields all lists of a family on disk. Does not stop at damage. */
  async *inspect(kind: Family): AsyncGenerator<InspectedList> {
    const gte = headKey(kind, '')
    for await (const { key, value } of this.#store.level.entries({ gte, lt: endOfPrefix(gte) })) {
      const name = headKeyName(key)
      try {
        yield { name, head: decodeHead(openEntry(key, value)) }
      } catch (error) {
        yield { name, fault: (error as Error).message }
      }
    }
  }

  /**
   * Returns lists of a family whose names begin with a prefix and come after `after`, in UTF-8 order.
   * @throws DaybookError `index-damaged`
   */
  async some(kind: Family, range: ListRange): Promise<ListedHead[]> {
    const prefix = headKey(kind, range.prefix)
    const after = range.after === undefined ? undefined : headKey(kind, range.after)
    const from = after !== undefined && after.compare(prefix) > 0 ? { gt: after } : { gte: prefix }
    const end = endOfPrefix(prefix)
    const { filling, writing } = this.#pending
    const found = new Map<string, ListedHead & { key: Buffer }>()
    for (const [name, head] of [...(writing?.heads[kind] ?? []), ...filling.heads[kind]]) {
      const key = headKey(kind, name)
      const inside = key.compare(from.gt ?? (from.gte as Buffer)) >= (from.gt ? 1 : 0) && key.compare(end) < 0
      if (inside) found.set(name, { key, name, head: { ...head } })
    }
    const { level, damage } = this.#store
    for await (const { key, value } of level.entries({ ...from, lt: end, limit: range.limit })) {
      const name = headKeyName(key)
      const head = damage.watchSync(() => decodeHead(openEntry(key, value)))
      // Changes in memory may be written during the read: the longer list is the newer one.
      if ((found.get(name)?.head.count ?? 0) < head.count) found.set(name, { key, name, head })
    }
    return [...found.values()].sort((one, other) => one.key.compare(other.key)).slice(0, range.limit)
  }
}

/** Returns a key that is greater than all keys that begin with a prefix. */
export function endOfPrefix(prefix: Buffer): Buffer {
  // Names are UTF-8, in which the byte 0xff does not occur.
  return Buffer.concat([prefix, Buffer.from([0xff])])
}
