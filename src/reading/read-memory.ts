/** The memory that one read reserves: for the records it reads, for the page built from them, and for the response. */
import { limits } from '../limits.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { MemoryHold } from '../memory/memory-hold.js'
import type { MemoryShare } from '../memory/memory-share.js'

/** Waits for a reservation. The signal aborts the wait when the client disconnects. */
type MemoryWait = (take: (signal?: AbortSignal) => Promise<MemoryHold>) => Promise<MemoryHold>

const waitWithoutAbort: MemoryWait = (take) => take()

export interface ReadMemoryOptions {
  /** Bytes that are not counted. Default `memory_small_bytes`. */
  readonly free?: number
  /** Bytes reserved once the read is a large one. */
  readonly large: number
  /** Waits for memory as long as the client is connected. Undefined: waits without an abort signal. */
  readonly wait?: MemoryWait
}

/**
 * A read grows in three steps. Small reads are not counted. Ordinary reads reserve `read_bytes` from one share. Large
 * reads reserve enough for the largest page from another share. So reads that wait for more never wait for each other.
 */
export class ReadMemory {
  readonly #budget: Pick<MemoryBudget, 'reads' | 'largeReads'>
  readonly #free: number
  readonly #large: number
  readonly #wait: MemoryWait
  #hold: MemoryHold | undefined
  /** The share that `#hold` belongs to. */
  #share: MemoryShare | undefined
  #isLarge = false
  #closed = false

  constructor(
    budget: Pick<MemoryBudget, 'reads' | 'largeReads'>,
    { free = limits.memory_small_bytes, large, wait = waitWithoutAbort }: ReadMemoryOptions
  ) {
    this.#budget = budget
    this.#free = free
    this.#large = large
    this.#wait = wait
  }

  /** Bytes reserved now. */
  get bytes(): number {
    return this.#hold?.bytes ?? 0
  }

  /** True while other reads wait for memory of the same share. */
  get isWanted(): boolean {
    return (this.#share?.waiting ?? 0) > 0
  }

  /**
   * Reserves the memory to read so many bytes of records. Do not read more before the promise is fulfilled.
   * @returns undefined when enough is reserved already
   * @throws `overloaded`, by rejecting the promise
   */
  need(bytes: number): Promise<void> | undefined {
    if (bytes <= this.#free || this.#isLarge || this.#closed) return undefined
    if (bytes > limits.read_bytes) return this.#enlarge()
    if (this.bytes >= limits.read_bytes) return undefined
    return this.#replace(this.#budget.reads, limits.read_bytes)
  }

  /**
   * As `need`, for a read without end. Between two steps it releases its memory when other reads wait for it, or when
   * the next step is small.
   * @param drained resolves when the client has received what was read before; a large step waits for that
   */
  turn(bytes: number, drained?: () => Promise<void> | undefined): Promise<void> | undefined {
    const waits = bytes > this.#free ? drained?.() : undefined
    if (waits !== undefined) return waits.then(() => this.turn(bytes))
    if (bytes <= this.#free || this.isWanted) this.release()
    return this.need(bytes)
  }

  /** Keeps so many of the reserved bytes for a response that the client has yet to receive. Releases the rest. */
  shrink(bytes: number): void {
    this.#isLarge = false
    if (bytes <= limits.memory_small_bytes) this.release()
    else this.#hold?.shrink(bytes)
  }

  /**
   * Reserves exactly so many bytes for a finished response. A small response needs no reservation.
   * @returns undefined when the bytes are reserved at once
   * @throws `overloaded`, by rejecting the promise
   */
  take(bytes: number): Promise<void> | undefined {
    if (bytes <= Math.max(this.bytes, limits.memory_small_bytes)) {
      this.shrink(bytes)
      return undefined
    }
    return this.#replace(bytes > limits.read_bytes ? this.#budget.largeReads : this.#budget.reads, bytes)
  }

  /** Moves the reservation to a new owner, for a response that outlives its read. Returns the new owner. */
  handOver(): ReadMemory {
    const next = new ReadMemory(this.#budget, { large: this.#large })
    next.#hold = this.#hold
    next.#share = this.#share
    this.#hold = undefined
    return next
  }

  /** Releases the reservation, abandons pending ones, and makes no new ones. */
  close(): void {
    this.#closed = true
    this.release()
  }

  /** Releases the reservation. */
  release(): void {
    this.#isLarge = false
    this.#hold?.release()
    this.#hold = undefined
  }

  /** Keeps an ordinary reservation while it waits for a large one: large reads never wait for ordinary memory. */
  async #enlarge(): Promise<void> {
    const { largeReads } = this.#budget
    if (this.#share === largeReads) this.release()
    const large =
      largeReads.tryTake(this.#large) ?? (await this.#wait((signal) => largeReads.take(this.#large, signal)))
    this.release()
    if (this.#closed) return large.release()
    this.#hold = large
    this.#share = largeReads
    this.#isLarge = true
  }

  /** Releases the current reservation and takes one from another share. */
  #replace(share: MemoryShare, bytes: number): Promise<void> | undefined {
    this.release()
    this.#share = share
    this.#hold = share.tryTake(bytes)
    if (this.#hold !== undefined) return undefined
    return this.#wait((signal) => share.take(bytes, signal)).then((hold) => {
      if (this.#closed) hold.release()
      else this.#hold = hold
    })
  }
}
