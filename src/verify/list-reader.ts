/** Reads the entries of posting lists for the integrity check. */
import { LRUCache } from 'lru-cache'
import { isDaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import { BLOCK_SIZE, type Family, type ListHead } from '../log/format.js'
import { isDatabaseDamaged } from '../log/storage-faults.js'
import type { Findings } from './findings.js'

/** An entry of a list: a position, undefined (the list is shorter), or 'unreadable'. */
export type ListEntry = number | undefined | 'unreadable'

interface ListPart {
  /** Index of the first entry. */
  readonly from: number
  /** Undefined: the part cannot be read. */
  readonly positions: readonly number[] | undefined
}

/** Reads entries of lists. Reports damage once for each block, if the entries of a list are read in order. */
export class ListReader {
  readonly #postings: Postings
  readonly #findings: Findings
  /** For each list the part that was read last. One is enough, because entries are read in order. */
  readonly #parts = new LRUCache<string, ListPart>({ max: 10_000 })

  constructor(postings: Postings, findings: Findings) {
    this.#postings = postings
    this.#findings = findings
  }

  /**
   * Returns an entry of a list.
   * @param list name of the list in reports
   * @param head undefined: the list does not exist
   */
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

/** True for an error caused by damage in the index; false for one that may be temporary. */
export function isIndexDamage(error: unknown): boolean {
  return (isDaybookError(error) && error.code === 'index-damaged') || isDatabaseDamaged(error)
}
