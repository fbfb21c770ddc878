import type { Clock } from '../time/clock.js'

/** A longer gap between two readings is one in which the process, or its machine, stood still. */
const GAP_MS = 60_000

/**
 * The time in which a reader could have come: that of the monotonic clock, less the gaps in which the process was stopped
 * or its machine slept. It is to be read every few seconds.
 */
export class ServedTime {
  readonly #clock: Clock
  #last: number
  #total = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#last = clock.elapsed()
  }

  /** Milliseconds that were served so far. */
  read(): number {
    const now = this.#clock.elapsed()
    this.#total += Math.min(now - this.#last, GAP_MS)
    this.#last = now
    return this.#total
  }
}
