/** Entries of the index's lists, as a check reads them. */
import { LRUCache } from 'lru-cache'
import { isDaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { BLOCK_SIZE, type Family, type ListHead } from '../log/format.js'
import { isDatabaseDamaged } from '../log/storage-faults.js'
import type { Findings } from './findings.js'

/** What stands in a list: a position, nothing (the list is shorter), or something that cannot be read. */
export type ListEntry = number | undefined | 'unreadable'

/** Part of a list in memory; no positions: it cannot be read. */
interface ListPart {
  readonly from: number
  readonly positions: readonly number[] | undefined
}

/** Reads entries of lists in their order. Damage is reported once for each block. */
export class ListReader {
  readonly #postings: Postings
  readonly #findings: Findings
  /** The last part read of each list: entries are asked for in order. */
  readonly #parts = new LRUCache<string, ListPart>({ max: 10_000 })

  constructor(postings: Postings, findings: Findings) {
    this.#postings = postings
    this.#findings = findings
  }

  /** @param list as people call it @param head its head; undefined: there is no such list */
  async entry(kind: Family, list: string, head: ListHead | undefined, index: number): Promise<ListEntry> {
    if (head === undefined || index >= head.count) return undefined
    let part = this.#parts.get(list)
    if (part === undefined || index < part.from || index >= part.from + BLOCK_SIZE) {
      const from = index - (index % BLOCK_SIZE)
      part = { from, positions: await this.#read(kind, list, head, from) }
      this.#parts.set(list, part)
    }
    return part.positions === undefined ? 'unreadable' : part.positions[index - part.from]
  }

  async #read(kind: Family, list: string, head: ListHead, from: number): Promise<number[] | undefined> {
    try {
      return await this.#postings.positions(kind, head, from, BLOCK_SIZE)
    } catch (error) {
      if (!isIndexDamage(error)) throw error
      const last = Math.min(from + BLOCK_SIZE, head.count) - 1
      const detail = `${list}, entries ${from} to ${last}: ${(error as Error).message}`
      this.#findings.add({ code: 'index-damaged', detail })
      return undefined
    }
  }
}

/** True for an error that says that something in the index is damaged, and not that it could not be read just now. */
export function isIndexDamage(error: unknown): boolean {
  return (isDaybookError(error) && error.code === 'index-damaged') || isDatabaseDamaged(error)
}
