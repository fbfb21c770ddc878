/**
 * Checks the log: its records must be undamaged, gapless and in time order, and no acknowledged record may be missing.
 */

import { PositionRanges } from '../log/position-ranges.js'
import type { InspectedPlace } from '../log/records/stored-records.js'
import type { WitnessContent } from '../log/recovery/witness.js'
import type { CheckWarning } from './check-report.js'
import { ClockCheck } from './clock-check.js'
import type { Findings } from './findings.js'

export class LogCheck {
  /** Unreadable positions, as far as the log was read. */
  readonly lost = new PositionRanges()
  readonly #findings: Findings
  readonly #clock: ClockCheck
  #events = 0
  #begun = 0
  #created = 0

  /** @param findings receives the disagreements @param now time of this machine's clock, milliseconds since 1970 */
  constructor(findings: Findings, now: number) {
    this.#findings = findings
    this.#clock = new ClockCheck(now)
  }

  /** Number of readable records. */
  get events(): number {
    return this.#events
  }

  /** Number of streams with a readable first event. */
  get streamsBegun(): number {
    return this.#begun
  }

  /**
   * Compares the head of the log with the one in the witness.
   * @param witnessed undefined: the witness cannot be read
   */
  expectHead(head: number, witnessed: WitnessContent | undefined): void {
    if (witnessed === undefined || witnessed.head <= head) return
    const missing = `${witnessed.head - head} events are missing`
    this.#findings.add({
      code: 'head-behind-witness',
      position: head + 1,
      ...(witnessed.head > head + 1 && { last: witnessed.head }),
      detail: `the log ends at position ${head}, but position ${witnessed.head} was acknowledged: ${missing}`
    })
  }

  /** Checks the next position of the log. */
  take({ position, record, fault }: InspectedPlace): void {
    if (record === undefined) {
      this.lost.add(position)
      const detail = fault === 'missing' ? 'the record is missing' : 'the checksum of the record is wrong'
      this.#findings.add({ code: `record-${fault}`, position, detail: `position ${position}: ${detail}` })
      return
    }
    this.#events++
    if (record.number === 0) this.#begun++
    if (record.created < this.#created) {
      this.#findings.add({
        code: 'created-goes-back',
        position,
        detail: `position ${position}: "created" is earlier than that of the record before it`
      })
    }
    this.#created = record.created
    this.#clock.count(position, record.created)
  }

  /** Suspicious facts that are no disagreements. */
  warnings(): CheckWarning[] {
    return this.#clock.warnings()
  }
}
