/**
 * Work that is shared out among all who read: in one turn of the event loop they together do so much and no more, one
 * after the other. Between two turns everything else goes on.
 */
import { limits } from '../../limits.js'

interface Waiting {
  readonly steps: number
  readonly begin: () => void
}

export class WorkTurns {
  readonly #stepsATurn: number
  /** Steps that were given away in this turn. */
  #given = 0
  #waiting: Waiting[] = []
  #ending = false
  #most = 0

  constructor(stepsATurn: number = limits.turn_steps_max) {
    this.#stepsATurn = stepsATurn
  }

  /** Readers that wait for a turn. */
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
