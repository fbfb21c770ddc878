/** A share of the memory budget: bytes that holders take, in the order of asking, and give back. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import { MemoryHold } from './memory-hold.js'

interface Waiter {
  readonly bytes: number
  readonly admit: () => void
}

export class MemoryShare {
  /** What it is for, as `/info` and the metrics name it. */
  readonly name: string
  readonly bytes: number
  readonly #clock: Clock
  readonly #waiters = new Set<Waiter>()
  #used = 0

  /** @param bytes what all holders may hold together */
  constructor(name: string, bytes: number, clock: Clock) {
    this.name = name
    this.bytes = bytes
    this.#clock = clock
  }

  /** Bytes that are held now. More than `bytes` only where a single holder holds more than the share. */
  get used(): number {
    return this.#used
  }

  /** How many wait for room. */
  get waiting(): number {
    return this.#waiters.size
  }

  /**
   * Waits until so many bytes are free, in the order of asking. More than the whole share fits when nothing else is held,
   * so that no single holder waits for ever.
   * @param gone ends the wait when the caller has left
   * @throws `overloaded` when there was no room within `memory_wait_ms`, when too many wait, or when the caller has left
   */
  async take(bytes: number, gone?: AbortSignal): Promise<MemoryHold> {
    if (gone?.aborted) throw this.refusal()
    if (!this.claim(bytes)) await this.#wait(bytes, gone)
    return new MemoryHold(this, bytes)
  }

  /** As `take`, at once. @returns undefined when there is no room, or others wait */
  tryTake(bytes: number): MemoryHold | undefined {
    return this.claim(bytes) ? new MemoryHold(this, bytes) : undefined
  }

  /**
   * Takes bytes that are counted by the caller, without an object for them. The caller gives exactly these back.
   * @returns false when there is no room, or others wait
   */
  claim(bytes: number): boolean {
    if (this.#waiters.size > 0 || !this.#fits(bytes)) return false
    this.#used += bytes
    return true
  }

  /** Gives bytes back that were claimed. */
  give(bytes: number): void {
    this.#used -= bytes
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) return
      this.#waiters.delete(waiter)
      this.#used += waiter.bytes
      waiter.admit()
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.bytes
  }

  /** Resolves with the bytes claimed. */
  #wait(bytes: number, gone: AbortSignal | undefined): Promise<void> {
    if (this.#waiters.size >= limits.memory_waiting_max) return Promise.reject(this.refusal())
    return new Promise((resolve, reject) => {
      const settle = (end: () => void) => {
        cancel()
        gone?.removeEventListener('abort', leave)
        end()
      }
      const waiter: Waiter = { bytes, admit: () => settle(resolve) }
      const leave = () => {
        this.#waiters.delete(waiter)
        settle(() => reject(this.refusal()))
        this.give(0) // those behind it may fit now
      }
      const cancel = this.#clock.after(limits.memory_wait_ms, leave)
      gone?.addEventListener('abort', leave, { once: true })
      this.#waiters.add(waiter)
    })
  }

  /** The error for one for whom there is no room: `overloaded`. */
  refusal(): DaybookError {
    return new DaybookError(
      'overloaded',
      `The memory for ${this.name} is in use (${this.#used} of ${this.bytes} bytes). Try again later, or start the server with a larger --memory.`,
      { written: false, retry: true }
    )
  }
}
