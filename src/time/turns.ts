/** Turns of the event loop: long work gives others a turn, and much work at once shares turns in the order of asking. */

/** Resolves in another turn of the event loop, after what has arrived meanwhile. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

interface AskedTurn {
  readonly steps: number
  readonly resume: () => void
}

/** Steps of work that all who share take together in one turn of the event loop. */
const STEPS_A_TURN = 4096

/** Shares each turn of the event loop among all who work at the same time. */
export class SharedTurns {
  #taken = 0
  #waiting: AskedTurn[] = []
  #scheduled = false

  /**
   * Asks for some steps of work, of about a microsecond each, before they are done.
   * @returns undefined when they may be done at once; otherwise a promise that resolves when they may
   */
  take(steps: number): Promise<void> | undefined {
    this.#schedule()
    if (this.#taken < STEPS_A_TURN && this.#waiting.length === 0) {
      this.#taken += steps
      return undefined
    }
    return new Promise((resume) => this.#waiting.push({ steps, resume }))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#begin())
  }

  /** A turn begins: those who waited longest go first. */
  #begin(): void {
    this.#scheduled = false
    this.#taken = 0
    let resumed = 0
    for (const { steps, resume } of this.#waiting) {
      if (this.#taken >= STEPS_A_TURN) break
      this.#taken += steps
      resumed++
      resume()
    }
    if (resumed > 0) this.#waiting = this.#waiting.slice(resumed)
    if (this.#waiting.length > 0) this.#schedule()
  }
}
