/** The only file that reads the time or sets a timer. Tests pass their own Clock. */
import { type ClockJump, SteadyTime } from './steady-time.js'

export interface Clock {
  /**
   * Milliseconds since 1970, for instants that are stored, shown, or compared with such instants. May go back or jump
   * when the system clock is set. Do not use it to measure a duration.
   */
  now(): number
  /** Milliseconds that never go back, for measuring durations. */
  elapsed(): number
  /** Calls back once after `ms`. The timer does not keep the process alive. Returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void
  /** The last jump of the system clock that `now` has detected. Undefined: none. */
  jump?(): ClockJump | undefined
}

const steady = new SteadyTime()

export const systemClock: Clock = {
  now: () => steady.read(Date.now(), performance.now()),
  elapsed: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
  jump: () => steady.jump
}
