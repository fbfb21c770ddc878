/** Clocks that a test moves, so that no test waits for time to pass. */
import { type Clock, systemClock } from '../../src/time/clock.js'
import { SteadyTime } from '../../src/time/steady-time.js'

/** The system clock, set ahead by `ahead` milliseconds. Its timers are real. */
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

/** A clock that stands still until it is moved. Moving it calls the timers that are due, in order. */
export class StillClock implements Clock {
  /** Offset of the wall clock in milliseconds: `now` jumps with it, elapsed time does not. */
  ahead = 0
  readonly #timers = new Set<{ readonly due: number; readonly callback: () => void }>()
  #elapsed = 0

  now(): number {
    return 1e12 + this.#elapsed + this.ahead
  }

  elapsed(): number {
    return this.#elapsed
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { due: this.#elapsed + ms, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Time passes without the process: it was stopped, or its machine slept. Timers that are due are called late. */
  skip(ms: number): void {
    this.#elapsed += ms
  }

  move(ms: number): void {
    const end = this.#elapsed + ms
    for (;;) {
      const [next] = [...this.#timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)
      if (next === undefined) break
      this.#timers.delete(next)
      this.#elapsed = Math.max(this.#elapsed, next.due)
      next.callback()
    }
    this.#elapsed = end
  }
}

/** A still clock that judges jumps as the system clock does. */
export class JudgedClock extends StillClock {
  readonly #steady = new SteadyTime()

  override now(): number {
    return this.#steady.read(super.now(), this.elapsed())
  }

  jump() {
    return this.#steady.jump
  }
}
