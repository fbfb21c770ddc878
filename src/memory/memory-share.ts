/** A share of the memory budget. Requests reserve bytes in the order of arrival, and release them. */
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import { MemoryHold } from './memory-hold.js'

interface Waiter {
  readonly bytes: number
  readonly admit: () => void
}

export class MemoryShare {
  /** Purpose of the share, as `/info` and the metrics name it. */
  readonly name: string
  readonly bytes: number
  readonly #clock: Clock
  readonly #waiters = new Set<Waiter>()
  #used = 0

  /** @param bytes size of the share */
  constructor(name: string, bytes: number, clock: Clock) {
    this.name = name
    this.bytes = bytes
    this.#clock = clock
  }

  /** Bytes reserved now. Exceeds `bytes` only while a single holder reserves more than the whole share. */
  get used(): number {
    return this.#used
  }

  /** Number of requests that wait for memory. */
  get waiting(): number {
    return this.#waiters.size
  }

  /**
   * Reserves bytes. Waits until they are free, in the order of the calls. A request for more than the whole share is
   * granted when nothing else is reserved, because it could never be granted otherwise.
   * @param gone ends the wait when the client disconnects
   * @throws `overloaded` when no memory was free within `memory_wait_ms`, too many requests wait, or the client is gone
   */
  async take(bytes: number, gone?: AbortSignal): Promise<MemoryHold> {
    if (gone?.aborted) throw this.refusal()
    if (!this.claim(bytes)) await this.#wait(bytes, gone)
    return new MemoryHold(this, bytes)
  }

  /** As `take`, but without waiting. @returns undefined when there is no room, or other requests wait */
  tryTake(bytes: number): MemoryHold | undefined {
    return this.claim(bytes) ? new MemoryHold(this, bytes) : undefined
  }

  /**
   * Reserves bytes without an object for them. The caller must give back exactly these bytes.
   * @returns false when there is no room, or other requests wait
   */
  claim(bytes: number): boolean {
    if (this.#waiters.size > 0 || !this.#fits(bytes)) return false
    this.#used += bytes
    return true
  }

  /** Gives back claimed bytes, and admits waiting requests that fit now. */
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

  /** Resolves when the bytes are reserved. */
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
        this.give(0) // requests behind it may fit now
      }
      const cancel = this.#clock.after(limits.memory_wait_ms, leave)
      gone?.addEventListener('abort', leave, { once: true })
      this.#waiters.add(waiter)
    })
  }

  /** Returns the error for a request that gets no memory: `overloaded`. */
  refusal(): DaybookError {
    return new DaybookError(
      'overloaded',
      `The memory for ${this.name} is in use (${this.#used} of ${this.bytes} bytes). Try again later, or start the server with a larger --memory.`,
      { written: false, retry: true }
    )
  }
}
