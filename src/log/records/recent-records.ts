/**
 * Cache of the last records of the log, for readers that follow the log. Records are added in the order of their
 * positions, so a ring buffer is enough. An LRU cache would make every append more expensive.
 */
import { StoredRecord } from '../format.js'

const SLOTS = 16_384

export class RecentRecords {
  readonly #ring = new Array<Buffer | undefined>(SLOTS)
  readonly #bytesMax: number
  #bytes = 0
  /** Position of the oldest cached record, and position of the next record of the log. */
  #oldest = 0
  #next = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(position: number): StoredRecord | undefined {
    if (position < this.#oldest || position >= this.#next) return undefined
    return new StoredRecord(position, this.#ring[position % SLOTS] as Buffer)
  }

  /** Adds the next record of the log. Evicts the oldest records beyond the limits. */
  add(position: number, bytes: Buffer): void {
    if (position !== this.#next) this.clear(position)
    if (this.#next - this.#oldest === SLOTS) this.#dropOldest()
    this.#ring[this.#next % SLOTS] = bytes
    this.#next++
    this.#bytes += bytes.length
    while (this.#bytes > this.#bytesMax) this.#dropOldest()
  }

  /** Evicts all records. @param next position of the next record of the log */
  clear(next: number): void {
    this.#ring.fill(undefined)
    this.#bytes = 0
    this.#oldest = next
    this.#next = next
  }

  #dropOldest(): void {
    const slot = this.#oldest % SLOTS
    this.#bytes -= this.#ring[slot]?.length ?? 0
    this.#ring[slot] = undefined
    this.#oldest++
  }
}
