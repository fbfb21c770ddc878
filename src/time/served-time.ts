import type { Clock } from './clock.js'

/** Of a longer gap between two readings, only this much is counted: the process or its machine was suspended. */
const GAP_MS = 60_000

/**
 * The time in which clients could reach the server: the monotonic clock without gaps in which the process or its
 * machine was suspended. `read` must be called every few seconds.
 */
export class ServedTime {
  readonly #clock: Clock
  #last: number
  #total = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#last = clock.elapsed()
  }

  /** Returns the time served so far, milliseconds. */
  read(): number {
    const now = this.#clock.elapsed()
    this.#total += Math.min(now - this.#last, GAP_MS)
    this.#last = now
    return this.#total
  }
}
