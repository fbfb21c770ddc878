/** Work is counted in steps of about a microsecond, so that nobody keeps the event loop for long. */

/** Steps that one turn of the event loop may take. */
const STEPS_A_TURN = 4096

export class WorkCounter {
  #steps = 0

  /** Counts steps that were taken. @returns true when others should have a turn now; then it counts from zero again */
  add(steps: number): boolean {
    this.#steps += steps
    if (this.#steps < STEPS_A_TURN) return false
    this.#steps = 0
    return true
  }
}
