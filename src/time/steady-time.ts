/**
 * The time that a server believes. The machine's clock may be set, or jump for a few seconds; the monotonic clock does
 * neither. A jump of the one against the other is believed only when it has lasted.
 */

/** How much the difference between the clocks may change from reading to reading without being a jump, milliseconds. */
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

/** Pure: readings of both clocks come in, the believed time goes out. */
export class SteadyTime {
  /** The believed time less the monotonic one, milliseconds; undefined before the first reading. */
  #offset: number | undefined
  /** The offset that the machine's clock has jumped to, and when by the monotonic clock. */
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
