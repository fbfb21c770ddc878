/** Checks the log: its records must be whole, gapless and in time order, and none that was acknowledged may be gone. */

import { PositionRanges } from '../log/position-ranges.js'
import type { InspectedPlace } from '../log/records/stored-records.js'
import type { Testimony } from '../log/recovery/witness.js'
import type { CheckWarning } from './check-report.js'
import { ClockCheck } from './clock-check.js'
import type { Findings } from './findings.js'

export class LogCheck {
  /** Positions whose events cannot be read, as far as the log was looked at. */
  readonly lost = new PositionRanges()
  readonly #findings: Findings
  readonly #clock: ClockCheck
  #events = 0
  #begun = 0
  #created = 0

  /** @param findings takes the disagreements @param now of this machine's clock, milliseconds */
  constructor(findings: Findings, now: number) {
    this.#findings = findings
    this.#clock = new ClockCheck(now)
  }

  /** Records that could be read. */
  get events(): number {
    return this.#events
  }

  /** Streams whose first event could be read. */
  get streamsBegun(): number {
    return this.#begun
  }

  /** Compares the head with what the witness says. */
  expectHead(head: number, testimony: Testimony | undefined): void {
    if (testimony === undefined || testimony.head <= head) return
    this.#findings.add({
      code: 'head-behind-witness',
      position: head + 1,
      ...(testimony.head > head + 1 && { last: testimony.head }),
      detail: `the log ends at ${head}, but ${testimony.head} was acknowledged: ${testimony.head - head} events are gone`
    })
  }

  /** Looks at the next place of the log. */
  take({ position, record, fault }: InspectedPlace): void {
    if (record === undefined) {
      this.lost.add(position)
      const says = fault === 'missing' ? 'no record stands there' : 'the record is not what was written'
      this.#findings.add({ code: `record-${fault}`, position, detail: `position ${position}: ${says}` })
      return
    }
    this.#events++
    if (record.number === 0) this.#begun++
    if (record.created < this.#created) {
      this.#findings.add({
        code: 'created-goes-back',
        position,
        detail: `position ${position}: created is before the record before it`
      })
    }
    this.#created = record.created
    this.#clock.count(position, record.created)
  }

  /** What looks wrong, though nothing disagrees. */
  warnings(): CheckWarning[] {
    return this.#clock.warnings()
  }
}
