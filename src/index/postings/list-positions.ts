/** Reads the entries of lists. Entries are log positions: full blocks on disk, and the last ones in the head. */
import { BLOCK_SIZE, blockKey, decodeBlock, type Family, type ListHead, openEntry } from '../../log/format.js'
import type { IndexStore } from '../storage/index-store.js'
import type { PendingWrites } from './pending-writes.js'

export class ListPositions {
  readonly #store: IndexStore
  readonly #pending: PendingWrites

  constructor(store: IndexStore, pending: PendingWrites) {
    this.#store = store
    this.#pending = pending
  }

  /** Returns the position of entry `index` of a list; `index` must be less than `head.count`. */
  async one(kind: Family, head: ListHead, index: number): Promise<number> {
    const [position] = await this.some(kind, head, index, 1)
    return position as number
  }

  /**
   * Returns the positions of `count` entries of a list from entry `from` on, ascending; fewer at the end of the list.
   * `head` is the caller's snapshot: entries appended meanwhile are left out.
   * @throws DaybookError `index-damaged`
   */
  async some(kind: Family, head: ListHead, from: number, count: number): Promise<number[]> {
    const end = Math.min(from + count, head.count)
    const tailFrom = head.count - (head.count % BLOCK_SIZE)
    if (from >= tailFrom) return head.tail.slice(from - tailFrom, end - tailFrom)
    const firstBlock = Math.floor(from / BLOCK_SIZE)
    const lastBlock = Math.floor((Math.min(end, tailFrom) - 1) / BLOCK_SIZE)
    const keys: Buffer[] = []
    for (let block = firstBlock; block <= lastBlock; block++) keys.push(blockKey(kind, head.id, block))
    const blocks = await this.#blocks(keys)
    const positions = blocks.length === 1 ? (blocks[0] as number[]) : blocks.flat()
    const skipped = firstBlock * BLOCK_SIZE
    const inBlocks = positions.slice(from - skipped, Math.min(end, tailFrom) - skipped)
    return end <= tailFrom ? inBlocks : inBlocks.concat(head.tail.slice(0, end - tailFrom))
  }

  async #blocks(keys: Buffer[]): Promise<number[][]> {
    const pending = keys.map((key) => this.#pending.block(key.toString('latin1')))
    if (pending.every((block) => block !== undefined)) return pending
    const { level, damage } = this.#store
    const values = await level.getMany(keys)
    return keys.map((key, i) => {
      const changed = pending[i]
      if (changed !== undefined) return changed
      const value = values[i]
      if (value === undefined) throw damage.found(`the block ${key.toString('hex')} is missing`)
      return damage.watchSync(() => decodeBlock(openEntry(key, value)))
    })
  }
}
