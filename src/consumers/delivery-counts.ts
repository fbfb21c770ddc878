import type { Redelivery } from '../subscriptions/connection.js'

/** Events after the previous step and up to the cursor `to` were sent `times` times. */
interface Step {
  readonly to: number
  readonly times: number
}

/** The most steps that are kept. Further steps are merged into the last one. */
const STEPS_MAX = 64

/**
 * Counts how often the events of a consumer were sent. Sending always starts over at the consumer's cursor, so a later
 * event is never sent more often than an earlier one. So a few descending steps describe the counts of all events.
 * Pure.
 */
export class DeliveryCounts implements Redelivery {
  /** Counts at the time when sending last started over, in order of cursor. */
  #steps: Step[] = []
  /** The last cursor that was sent since then. */
  #sent = -1

  get to(): number {
    return this.#steps.at(-1)?.to ?? -1
  }

  retryCount(cursor: number): number {
    return this.#steps.find(({ to }) => cursor <= to)?.times ?? 0
  }

  /** Records that events up to a cursor were sent. */
  sent(cursor: number): void {
    this.#sent = Math.max(this.#sent, cursor)
  }

  /** Records that sending starts over after a cursor. Events up to that cursor are not sent again. */
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
