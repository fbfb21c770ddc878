import type { Clock } from '../time/clock.js'

/** Limits for how often a value is saved. */
export interface SavePace {
  /** A changed value is saved within this time, in milliseconds. */
  readonly intervalMs: number
  /** The most saves in an interval. */
  readonly savesMax: number
}

/**
 * Saves a value that changes often, with a bounded number of saves per interval. Further saves wait for the end of the
 * interval and are combined into one, which saves the newest value.
 */
export class PacedSaves {
  readonly #clock: Clock
  readonly #pace: SavePace
  readonly #save: () => Promise<void>
  #interval = { since: -Infinity, saves: 0 }
  /** The save at the end of the interval; undefined: there is none. */
  #waiting: Promise<void> | undefined
  #changed = false

  /** @param save saves the current value; resolves when it is on disk */
  constructor(clock: Clock, pace: SavePace, save: () => Promise<void>) {
    this.#clock = clock
    this.#pace = pace
    this.#save = save
  }

  /** Records that the value has changed. A later `saveIfDue`, or any other save, saves it. */
  changed(): void {
    this.#changed = true
  }

  /**
   * Saves a changed value if the interval has ended. Never throws: the checkpoints retry failed saves and report them.
   */
  saveIfDue(): void {
    const due = this.#clock.elapsed() - this.#interval.since >= this.#pace.intervalMs
    if (this.#changed && due) this.saveInPace().catch(() => {})
  }

  /** Saves as soon as the limits allow. Resolves when the value is on disk. */
  saveInPace(): Promise<void> {
    const { intervalMs, savesMax } = this.#pace
    const now = this.#clock.elapsed()
    if (now - this.#interval.since >= intervalMs) this.#interval = { since: now, saves: 0 }
    if (this.#waiting !== undefined) return this.#waiting
    if (this.#interval.saves < savesMax) return this.saveNow()
    const remainingMs = this.#interval.since + intervalMs - now
    this.#waiting = new Promise<void>((resolve) => this.#clock.after(remainingMs, resolve)).then(() => {
      this.#waiting = undefined
      this.#interval = { since: this.#clock.elapsed(), saves: 0 }
      return this.saveNow()
    })
    return this.#waiting
  }

  /** Saves at once, ignoring the limits. Resolves when the value is on disk. */
  saveNow(): Promise<void> {
    this.#changed = false
    this.#interval.saves++
    return this.#save()
  }
}
