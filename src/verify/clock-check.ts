/** Warns of events that lie ahead of this machine's clock. */
import { limits } from '../limits.js'
import { spoken } from '../time/duration.js'
import type { CheckWarning } from './check-report.js'

/** Events whose time this machine's clock has not reached: one of the clocks is or was wrong, and nobody can say which. */
export class ClockCheck {
  readonly #now: number
  #first: number | undefined
  #events = 0
  #most = 0

  /** @param now of this machine's clock, milliseconds */
  constructor(now: number) {
    this.#now = now
  }

  count(position: number, created: number): void {
    if (created - this.#now <= limits.clock_behind_ms_max) return
    this.#first ??= position
    this.#events++
    this.#most = Math.max(this.#most, created)
  }

  warnings(): CheckWarning[] {
    if (this.#first === undefined) return []
    const ms = this.#most - this.#now
    const one = this.#events === 1
    const events = `${this.#events.toLocaleString('en-US')} ${one ? 'event' : 'events'} from position ${this.#first} on`
    const last = `${spoken(ms)} (${new Date(this.#most).toISOString()})`
    return [
      {
        code: 'created-ahead',
        detail: `${events} ${one ? 'is' : 'are'} ahead of this machine's clock, the last by ${last}: this clock is wrong, or theirs was`,
        position: this.#first,
        events: this.#events,
        seconds: ms / 1000
      }
    ]
  }
}
