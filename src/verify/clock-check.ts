/** Warns of events whose `created` is ahead of this machine's clock. */
import { limits } from '../limits.js'
import { inWords } from '../time/duration.js'
import type { CheckWarning } from './check-report.js'

/**
 * Counts the events ahead of this machine's clock. Either this clock or that of their server is wrong; which, is
 * unknown.
 */
export class ClockCheck {
  readonly #now: number
  #first: number | undefined
  #events = 0
  #latest = 0

  /** @param now time of this machine's clock, milliseconds since 1970 */
  constructor(now: number) {
    this.#now = now
  }

  count(position: number, created: number): void {
    if (created - this.#now <= limits.clock_behind_ms_max) return
    this.#first ??= position
    this.#events++
    this.#latest = Math.max(this.#latest, created)
  }

  warnings(): CheckWarning[] {
    if (this.#first === undefined) return []
    const ms = this.#latest - this.#now
    const one = this.#events === 1
    const events = `${this.#events.toLocaleString('en-US')} ${one ? 'event' : 'events'} from position ${this.#first} on`
    const ahead = `${one ? 'is' : 'are'} ahead of this machine's clock`
    const latest = `the latest by ${inWords(ms)} (${new Date(this.#latest).toISOString()})`
    return [
      {
        code: 'created-ahead',
        detail: `${events} ${ahead}, ${latest}: this clock is wrong, or the clock of the writing server was`,
        position: this.#first,
        events: this.#events,
        seconds: ms / 1000
      }
    ]
  }
}
