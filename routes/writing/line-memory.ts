/** Memory that a streamed write takes of the budget: for the line that is coming, and for its batch. */
import { limits } from '../../src/limits.js'
import type { MemoryHold } from '../../src/memory/memory-hold.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import { LINE_BYTES_MAX } from '../../src/ndjson.js'
import type { Clock } from '../../src/time/clock.js'

/** A batch takes at least so many bytes at a time. */
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

  /** How long the line has been held, or the batch when no line is, milliseconds. 0 when nothing is held. */
  get heldFor(): number {
    return this.held === 0 ? 0 : this.#clock.elapsed() - this.#since
  }

  /** Bytes that are held. */
  get held(): number {
    return this.#batchBytes + (this.#line?.bytes ?? 0)
  }

  /** A line that is no small one is held. */
  get holdsLine(): boolean {
    return this.#line !== undefined
  }

  /** Holds what a line of any length needs, unless there is no room for it. @returns whether it is held */
  tryLine(): boolean {
    if (this.#line !== undefined) return true
    this.#line = this.#share.tryTake(LINE_BYTES_MAX)
    this.#since = this.#clock.elapsed()
    return this.#line !== undefined
  }

  /** Waits for what a line of any length needs. @throws as `MemoryShare.take` */
  async takeLine(gone: AbortSignal): Promise<void> {
    this.#line = await this.#share.take(LINE_BYTES_MAX, gone)
    this.#since = this.#clock.elapsed()
  }

  /**
   * Holds what the batch has now that a line has been added to it; the line is no longer held.
   * @returns false when there is no memory for it: it is to be committed now
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
