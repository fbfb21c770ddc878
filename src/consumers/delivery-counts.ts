import type { Redelivery } from '../subscriptions/connection.js'

/** Events after the step before and up to `to` were sent so often. */
interface Step {
  readonly to: number
  readonly times: number
}

/** Steps that are kept. Beyond these, the last ones count as one. */
const STEPS_MAX = 64

/**
 * How often the events of a consumer were sent. Each time sending starts over at the place, so a later event was never
 * sent more often than an earlier one: a few steps down say it for all. Pure.
 */
export class DeliveryCounts implements Redelivery {
  /** What was sent before sending last started over, by ascending cursors. */
  #steps: Step[] = []
  /** The last cursor that was sent since. */
  #sent = -1

  get to(): number {
    return this.#steps.at(-1)?.to ?? -1
  }

  retryCount(cursor: number): number {
    return this.#steps.find(({ to }) => cursor <= to)?.times ?? 0
  }

  /** Events up to a cursor were sent. */
  sent(cursor: number): void {
    this.#sent = Math.max(this.#sent, cursor)
  }

  /** Sending starts over after a cursor. What is at or before it does not come again. */
  startOver(after: number): void {
    const steps: Step[] = []
    for (const { to, times } of this.#steps) {
      if (to <= after) continue
      if (this.#sent > (steps.at(-1)?.to ?? after)) steps.push({ to: Math.min(to, this.#sent), times: times + 1 })
      if (to > this.#sent) steps.push({ to, times })
    }
    if (this.#sent > (steps.at(-1)?.to ?? after)) steps.push({ to: this.#sent, times: 1 })
    const last = steps.at(-1)
    if (last !== undefined && steps.length > STEPS_MAX) {
      steps.length = STEPS_MAX
      steps[STEPS_MAX - 1] = { ...(steps[STEPS_MAX - 1] as Step), to: last.to }
    }
    this.#steps = steps
    this.#sent = after
  }
}
