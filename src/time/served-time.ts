import type { Clock } from './clock.js'

/** Of a longer gap between two readings, only this much counts: the process or its machine must have been suspended. */
const GAP_MS = 60_000

/**
 * The time in which clients could reach the server: the monotonic clock, less the gaps in which the process or its
 * machine was suspended. It must be read every few seconds.
 */
export class ServedTime {
  readonly #clock: Clock
  #last: number
  #total = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#last = clock.elapsed()
  }

  /** The time served so far, milliseconds. */
  read(): number {
    const now = this.#clock.elapsed()
    this.#total += Math.min(now - this.#last, GAP_MS)
    this.#last = now
    return this.#total
  }
}
