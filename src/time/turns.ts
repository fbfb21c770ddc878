/** Turns of the event loop: long work gives others a turn, and much work at once shares turns in the order of asking. */

/** Resolves in another turn of the event loop, after what has arrived meanwhile. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Steps of work that all who share take together in one turn of the event loop. */
const STEPS_A_TURN = 4096

interface AskedTurn {
  readonly steps: number
  readonly begin: () => void
}

/**
 * Shares each turn of the event loop among all who work at the same time: in one turn they together do so much and no more,
 * in the order of asking. Between two turns everything else goes on.
 */
export class SharedTurns {
  readonly #stepsATurn: number
  /** Steps that were given away in this turn. */
  #given = 0
  #waiting: AskedTurn[] = []
  #ending = false
  #most = 0

  /** @param stepsATurn steps that all together do in one turn; of about a microsecond each where it is not said */
  constructor(stepsATurn: number = STEPS_A_TURN) {
    this.#stepsATurn = stepsATurn
  }

  /** How many wait for a turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** The most steps that were ever given away in one turn. */
  get most(): number {
    return this.#most
  }

  /**
   * Asks for so many steps of work. More than a turn has are given in one turn, alone.
   * @returns undefined: they may be done at once; else a promise that resolves in the turn that has room for them
   */
  take(steps: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#hasRoomFor(steps)) {
      this.#give(steps)
      return undefined
    }
    return new Promise((begin) => this.#waiting.push({ steps, begin }))
  }

  #hasRoomFor(steps: number): boolean {
    return this.#given === 0 || this.#given + steps <= this.#stepsATurn
  }

  #give(steps: number): void {
    this.#given += steps
    if (this.#given > this.#most) this.#most = this.#given
    if (this.#ending) return
    this.#ending = true
    setImmediate(() => this.#nextTurn())
  }

  #nextTurn(): void {
    this.#ending = false
    this.#given = 0
    let begun = 0
    for (const { steps, begin } of this.#waiting) {
      if (!this.#hasRoomFor(steps)) break
      this.#give(steps)
      begin()
      begun++
    }
    if (begun > 0) this.#waiting = this.#waiting.slice(begun)
  }
}
