/** Clocks that a test moves: nothing is waited for that only time would bring. */
import { type Clock, systemClock } from '../../src/clock.js'

/** The system's clock, so many milliseconds ahead; its timers are the real ones. */
export interface MovedClock extends Clock {
  ahead: number
}

export function movedClock(): MovedClock {
  const clock: MovedClock = {
    ahead: 0,
    now: () => systemClock.now() + clock.ahead,
    elapsed: () => systemClock.elapsed() + clock.ahead,
    after: systemClock.after
  }
  return clock
}

/** A clock that stands still until it is moved; then it calls what has become due, in order. */
export class StillClock implements Clock {
  readonly #timers = new Set<{ readonly due: number; readonly callback: () => void }>()
  #elapsed = 0

  now(): number {
    return 1e12 + this.#elapsed
  }

  elapsed(): number {
    return this.#elapsed
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.#elapsed + ms, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  move(ms: number): void {
    const end = this.#elapsed + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#elapsed = next.due
      next.callback()
    }
    this.#elapsed = end
  }
}
