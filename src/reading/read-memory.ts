/** The memory that one read holds: for the records that it reads, the page that it makes of them, and the answer. */
import { limits } from '../limits.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { MemoryHold } from '../memory/memory-hold.js'
import type { MemoryShare } from '../memory/memory-share.js'

/** Waits for what is given, which ends when the client goes. */
type MemoryWait = (take: (gone?: AbortSignal) => Promise<MemoryHold>) => Promise<MemoryHold>

const waitInAnyCase: MemoryWait = (take) => take()

export interface ReadMemoryOptions {
  /** Bytes up to which the read is not counted. Default `memory_small_bytes`. */
  readonly free?: number
  /** What the read holds when it is a large one, bytes. */
  readonly large: number
  /** Waits for memory as long as the client stays. Undefined: it always stays. */
  readonly wait?: MemoryWait
}

/**
 * A read grows in three steps, so that reads that wait for more never wait for each other: small ones are not counted,
 * ordinary ones hold `read_bytes` of one share, large ones what the largest page needs of another.
 */
export class ReadMemory {
  readonly #budget: Pick<MemoryBudget, 'reads' | 'largeReads'>
  readonly #free: number
  readonly #large: number
  readonly #wait: MemoryWait
  #hold: MemoryHold | undefined
  /** The share that `#hold` is of. */
  #share: MemoryShare | undefined
  #isLarge = false
  #closed = false

  constructor(
    budget: Pick<MemoryBudget, 'reads' | 'largeReads'>,
    { free = limits.memory_small_bytes, large, wait = waitInAnyCase }: ReadMemoryOptions
  ) {
    this.#budget = budget
    this.#free = free
    this.#large = large
    this.#wait = wait
  }

  /** Bytes that are held now. */
  get bytes(): number {
    return this.#hold?.bytes ?? 0
  }

  /** True while others wait for the memory that is held. */
  get isWanted(): boolean {
    return (this.#share?.waiting ?? 0) > 0
  }

  /**
   * Takes what a read of so many bytes of records needs. Nothing more may be read before the promise is fulfilled.
   * @returns undefined when it has enough
   * @throws `overloaded`, by the promise
   */
  need(bytes: number): Promise<void> | undefined {
    if (bytes <= this.#free || this.#isLarge || this.#closed) return undefined
    if (bytes > limits.read_bytes) return this.#enlarge()
    if (this.bytes >= limits.read_bytes) return undefined
    return this.#replace(this.#budget.reads, limits.read_bytes)
  }

  /**
   * As `need`, for a read that goes on and on: between two of its steps it gives way to others that wait, and gives back
   * what a small step does not need.
   * @param taken resolves when the client has taken what was read before; a large step waits for that
   */
  turn(bytes: number, taken?: () => Promise<void> | undefined): Promise<void> | undefined {
    const waits = bytes > this.#free ? taken?.() : undefined
    if (waits !== undefined) return waits.then(() => this.turn(bytes))
    if (bytes <= this.#free || this.isWanted) this.release()
    return this.need(bytes)
  }

  /** Keeps so many bytes of what is held, for an answer that the client has still to take. */
  shrink(bytes: number): void {
    this.#isLarge = false
    if (bytes <= limits.memory_small_bytes) this.release()
    else this.#hold?.shrink(bytes)
  }

  /**
   * Takes exactly so many bytes, for an answer that is there already; none for a small one.
   * @returns undefined when it has them
   * @throws `overloaded`, by the promise
   */
  take(bytes: number): Promise<void> | undefined {
    if (bytes <= Math.max(this.bytes, limits.memory_small_bytes)) {
      this.shrink(bytes)
      return undefined
    }
    return this.#replace(bytes > limits.read_bytes ? this.#budget.largeReads : this.#budget.reads, bytes)
  }

  /** Moves what is held to another owner, for an answer that outlives its read. */
  handOver(): ReadMemory {
    const next = new ReadMemory(this.#budget, { large: this.#large })
    next.#hold = this.#hold
    next.#share = this.#share
    this.#hold = undefined
    return next
  }

  /** Gives everything back, also what it still waits for, and takes nothing more. */
  close(): void {
    this.#closed = true
    this.release()
  }

  /** Gives everything back. */
  release(): void {
    this.#isLarge = false
    this.#hold?.release()
    this.#hold = undefined
  }

  /** What an ordinary read holds is kept while it waits: large reads never wait for it. */
  async #enlarge(): Promise<void> {
    const { largeReads } = this.#budget
    if (this.#share === largeReads) this.release()
    const large = largeReads.tryTake(this.#large) ?? (await this.#wait((gone) => largeReads.take(this.#large, gone)))
    this.release()
    if (this.#closed) return large.release()
    this.#hold = large
    this.#share = largeReads
    this.#isLarge = true
  }

  /** Gives back what is held, and takes bytes of a share instead. */
  #replace(share: MemoryShare, bytes: number): Promise<void> | undefined {
    this.release()
    this.#share = share
    this.#hold = share.tryTake(bytes)
    if (this.#hold !== undefined) return undefined
    return this.#wait((gone) => share.take(bytes, gone)).then((hold) => {
      if (this.#closed) hold.release()
      else this.#hold = hold
    })
  }
}
