/** Clocks that a test moves: nothing is waited for that only time would bring. */
import { type Clock, systemClock } from '../../src/time/clock.js'
import { SteadyTime } from '../../src/time/steady-time.js'

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
  /** How far the machine's clock is off, milliseconds: `now` jumps with it, what has passed does not. */
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

  /** Time passes, but not for the process: it was stopped, or its machine slept. What has become due comes late. */
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

/** A still clock whose jumps are judged as the system's are. */
export class JudgedClock extends StillClock {
  readonly #steady = new SteadyTime()

  override now(): number {
    return this.#steady.read(super.now(), this.elapsed())
  }

  jump() {
    return this.#steady.jump
  }
}
