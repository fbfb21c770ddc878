/**
 * The time by which the server goes. The machine's clock may be set, or jump for a few seconds; the monotonic clock
 * does neither. A jump of the machine's clock is believed only when it has lasted.
 */

/** A change of the difference between the clocks, from reading to reading, that is not a jump yet, milliseconds. */
const JUMP_MS = 1000
/** How long a jump must last, by the monotonic clock, to be believed, milliseconds. */
export const BELIEVED_AFTER_MS = 10_000

/** A jump of the machine's clock against the monotonic one. */
export interface ClockJump {
  /** Milliseconds; negative: back in time. */
  readonly by: number
  /** `passed`: the clock came back before the jump was believed. */
  readonly verdict: 'judging' | 'believed' | 'passed'
}

/** A pure state machine: readings of both clocks go in, the believed time comes out. */
export class SteadyTime {
  /** The believed time minus the monotonic time, milliseconds; undefined before the first reading. */
  #offset: number | undefined
  /**
   * The offset to which the machine's clock has jumped, and the monotonic time of the jump; undefined: no jump is
   * judged.
   */
  #judged: { offset: number; readonly since: number } | undefined
  #jump: ClockJump | undefined

  /** The last jump; undefined: there was none. */
  get jump(): ClockJump | undefined {
    return this.#jump
  }

  /**
   * The time now, milliseconds since 1970, a whole number. The first reading is believed as it is.
   * @param wall the machine's clock, milliseconds since 1970
   * @param monotonic milliseconds of a clock that never goes back
   */
  read(wall: number, monotonic: number): number {
    const found = wall - monotonic
    this.#offset ??= found
    if (isNear(found, this.#offset)) {
      if (this.#judged !== undefined) this.#end('passed')
      this.#offset = found
      return wall
    }
    if (this.#judged === undefined || !isNear(found, this.#judged.offset)) {
      this.#judged = { offset: found, since: monotonic }
      this.#jump = { by: Math.round(found - this.#offset), verdict: 'judging' }
    }
    this.#judged.offset = found
    if (monotonic - this.#judged.since < BELIEVED_AFTER_MS) return Math.round(this.#offset + monotonic)
    this.#end('believed')
    this.#offset = found
    return wall
  }

  #end(verdict: 'believed' | 'passed'): void {
    this.#judged = undefined
    this.#jump = { by: this.#jump?.by ?? 0, verdict }
  }
}

function isNear(offset: number, other: number): boolean {
  return Math.abs(offset - other) <= JUMP_MS
}
