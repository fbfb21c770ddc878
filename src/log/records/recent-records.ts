/**
 * The last records of the log, kept in memory: readers that follow the log read what has just been written. They come in
 * the order of their positions, so a ring is enough; a cache by use would cost every append more.
 */
import { StoredRecord } from '../format.js'

const SLOTS = 16_384

export class RecentRecords {
  readonly #ring = new Array<Buffer | undefined>(SLOTS)
  readonly #bytesMax: number
  #bytes = 0
  /** Position of the oldest record kept, and of the one that comes next. */
  #oldest = 0
  #next = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get(position: number): StoredRecord | undefined {
    if (position < this.#oldest || position >= this.#next) return undefined
    return new StoredRecord(position, this.#ring[position % SLOTS] as Buffer)
  }

  /** Takes the next record of the log; the oldest make room for it. */
  add(position: number, bytes: Buffer): void {
    if (position !== this.#next) this.clear(position)
    if (this.#next - this.#oldest === SLOTS) this.#dropOldest()
    this.#ring[this.#next % SLOTS] = bytes
    this.#next++
    this.#bytes += bytes.length
    while (this.#bytes > this.#bytesMax) this.#dropOldest()
  }

  /** Forgets everything. @param next the position of the record that comes next */
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
