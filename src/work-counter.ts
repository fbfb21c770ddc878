/** Counts work in steps of about a microsecond, so that long work can yield to the event loop. */

/** Steps allowed in one turn of the event loop. */
const STEPS_A_TURN = 4096

export class WorkCounter {
  #steps = 0

  /** Counts finished steps. @returns true when the work should yield now; the count then restarts at zero */
  add(steps: number): boolean {
    this.#steps += steps
    if (this.#steps < STEPS_A_TURN) return false
    this.#steps = 0
    return true
  }
}
