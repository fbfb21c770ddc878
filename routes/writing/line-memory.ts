/** Memory that a streamed write takes from the budget: for the line being received, and for its batch. */
import { limits } from '../../src/limits.js'
import type { MemoryHold } from '../../src/memory/memory-hold.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { LINE_BYTES_MAX } from '../../src/ndjson.js'
import type { Clock } from '../../src/time/clock.js'

/** Minimum number of bytes that a batch takes at a time. */
const STEP_BYTES = 256 * 1024

export class LineMemory {
  readonly #share: MemoryShare
  readonly #batch: MemoryHold[] = []
  #batchBytes = 0
  #line: MemoryHold | undefined
  readonly #clock: Clock
  #since = 0

  constructor(share: MemoryShare, clock: Clock) {
    this.#share = share
    this.#clock = clock
  }

  /** Milliseconds since memory was taken for the line, or else for the batch; 0 if none is held. */
  get heldFor(): number {
    return this.held === 0 ? 0 : this.#clock.elapsed() - this.#since
  }

  /** Bytes of memory that are held. */
  get held(): number {
    return this.#batchBytes + (this.#line?.bytes ?? 0)
  }

  /** True if memory is held for a line. Small lines need none. */
  get holdsLine(): boolean {
    return this.#line !== undefined
  }

  /** Takes memory for a line of any allowed length, without waiting. @returns false if there is no memory */
  tryLine(): boolean {
    if (this.#line !== undefined) return true
    this.#line = this.#share.tryTake(LINE_BYTES_MAX)
    this.#since = this.#clock.elapsed()
    return this.#line !== undefined
  }

  /** Takes memory for a line of any allowed length, and waits for it if necessary. @throws as `MemoryShare.take` */
  async takeLine(gone: AbortSignal): Promise<void> {
    this.#line = await this.#share.take(LINE_BYTES_MAX, gone)
    this.#since = this.#clock.elapsed()
  }

  /**
   * Takes memory for a batch to which a line was added, and releases the rest of the line's memory.
   * @param bytes size of the batch, including the line
   * @returns false if there is no memory: the batch must be committed now
   */
  keepBatch(bytes: number): boolean {
    const more = bytes <= limits.memory_small_bytes ? 0 : bytes - this.#batchBytes
    const line = this.#line
    this.#line = undefined
    if (line !== undefined) {
      line.shrink(Math.max(0, more))
      this.#add(line)
    } else if (more > 0) {
      const hold = this.#share.tryTake(Math.max(more, STEP_BYTES))
      if (hold === undefined) return false
      this.#add(hold)
    }
    return true
  }

  release(): void {
    for (const hold of this.#batch) hold.release()
    this.#batch.length = 0
    this.#batchBytes = 0
    this.#line?.release()
    this.#line = undefined
  }

  #add(hold: MemoryHold): void {
    if (hold.bytes === 0) return
    if (this.#batchBytes === 0) this.#since = this.#clock.elapsed()
    this.#batch.push(hold)
    this.#batchBytes += hold.bytes
  }
}
