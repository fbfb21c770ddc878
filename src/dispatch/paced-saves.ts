import type { Clock } from '../time/clock.js'

/** How often a value is saved. */
export interface SavePace {
  /** A value that changed is saved within this time, milliseconds… */
  readonly intervalMs: number
  /** …and at most so often in such a time. */
  readonly savesMax: number
}

/**
 * Saves a value that changes often. Within an interval only so many saves are made. Further ones wait for the end of
 * the interval and are made as one, which saves the newest value.
 */
export class PacedSaves {
  readonly #clock: Clock
  readonly #pace: SavePace
  readonly #save: () => Promise<void>
  #interval = { since: -Infinity, saves: 0 }
  /** The save at the end of the interval; undefined: none waits. */
  #waiting: Promise<void> | undefined
  #changed = false

  /** @param save saves what the value is when it is called; resolves when that is on disk */
  constructor(clock: Clock, pace: SavePace, save: () => Promise<void>) {
    this.#clock = clock
    this.#pace = pace
    this.#save = save
  }

  /** The value has changed. It is saved with the next call of `saveIfDue`, or with another save. */
  changed(): void {
    this.#changed = true
  }

  /**
   * Saves a value that has changed when the interval is over. Throws nothing: places retry failed saves and show them.
   */
  saveIfDue(): void {
    const due = this.#clock.elapsed() - this.#interval.since >= this.#pace.intervalMs
    if (this.#changed && due) this.saveInPace().catch(() => {})
  }

  /** Saves as soon as the pace allows. Resolves when the value is on disk. */
  saveInPace(): Promise<void> {
    const { intervalMs, savesMax } = this.#pace
    const now = this.#clock.elapsed()
    if (now - this.#interval.since >= intervalMs) this.#interval = { since: now, saves: 0 }
    if (this.#waiting !== undefined) return this.#waiting
    if (this.#interval.saves < savesMax) return this.saveNow()
    const rest = this.#interval.since + intervalMs - now
    this.#waiting = new Promise<void>((resolve) => this.#clock.after(rest, resolve)).then(() => {
      this.#waiting = undefined
      this.#interval = { since: this.#clock.elapsed(), saves: 0 }
      return this.saveNow()
    })
    return this.#waiting
  }

  /** Saves at once, whatever the pace is. Resolves when the value is on disk. */
  saveNow(): Promise<void> {
    this.#changed = false
    this.#interval.saves++
    return this.#save()
  }
}
