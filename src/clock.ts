/** The only place that reads the time or sets a timer. Tests pass their own Clock. */
export interface Clock {
  /** Milliseconds since 1970, may go back when the machine's clock is set. */
  now(): number
  /** Milliseconds that never go back, for measuring durations. */
  elapsed(): number
  /** Calls back once after `ms`; the timer keeps no process alive. Returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return () => clearTimeout(timer)
  }
}
