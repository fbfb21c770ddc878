/** Turns of the event loop. Long work yields between turns. Concurrent work shares each turn in order of arrival. */

/** Resolves in the next turn of the event loop, after pending I/O was handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Default steps of work per turn of the event loop, for all users of the turn together. */
const STEPS_A_TURN = 4096

interface QueuedWork {
  readonly steps: number
  readonly begin: () => void
}

/**
 * Divides each turn of the event loop among all concurrent work. Together it may do a limited number of steps per turn,
 * granted in order of arrival. Everything else runs between the turns.
 */
export class SharedTurns {
  readonly #stepsATurn: number
  /** Steps granted in the current turn. */
  #granted = 0
  #waiting: QueuedWork[] = []
  #ending = false
  #most = 0

  /** @param stepsATurn steps per turn for all work together. The default assumes steps of about a microsecond */
  constructor(stepsATurn: number = STEPS_A_TURN) {
    this.#stepsATurn = stepsATurn
  }

  /** Number of requests that wait for a turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** The most steps ever granted in one turn. */
  get most(): number {
    return this.#most
  }

  /**
   * Requests steps of work. A request that exceeds a turn gets a turn of its own.
   * @returns undefined when the work may be done at once, otherwise a promise that resolves in a turn with room for it
   */
  take(steps: number): Promise<void> | undefined {
    if (this.#waiting.length === 0 && this.#hasRoomFor(steps)) {
      this.#grant(steps)
      return undefined
    }
    return new Promise((begin) => this.#waiting.push({ steps, begin }))
  }

  #hasRoomFor(steps: number): boolean {
    return this.#granted === 0 || this.#granted + steps <= this.#stepsATurn
  }

  #grant(steps: number): void {
    this.#granted += steps
    if (this.#granted > this.#most) this.#most = this.#granted
    if (this.#ending) return
    this.#ending = true
    setImmediate(() => this.#nextTurn())
  }

  #nextTurn(): void {
    this.#ending = false
    this.#granted = 0
    let begun = 0
    for (const { steps, begin } of this.#waiting) {
      if (!this.#hasRoomFor(steps)) break
      this.#grant(steps)
      begin()
      begun++
    }
    if (begun > 0) this.#waiting = this.#waiting.slice(begun)
  }
}
