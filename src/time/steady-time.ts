/**
 * The time that the server uses. The system clock may be set, or jump for a few seconds; the monotonic clock does not.
 * A jump of the system clock is accepted only after it has lasted for `BELIEVED_AFTER_MS`.
 */

/** Changes of the clocks' difference up to this size, from reading to reading, are not jumps. Milliseconds. */
const JUMP_MS = 1000
/** A jump is accepted after it has lasted this long by the monotonic clock, milliseconds. */
export const BELIEVED_AFTER_MS = 10_000

/** A jump of the system clock against the monotonic clock. */
export interface ClockJump {
  /** Milliseconds; negative: back in time. */
  readonly by: number
  /** `judging`: not accepted yet. `believed`: accepted. `passed`: the clock came back before the jump was accepted. */
  readonly verdict: 'judging' | 'believed' | 'passed'
}

/** A pure state machine: readings of both clocks go in, the server's time comes out. */
export class SteadyTime {
  /** The server's time minus the monotonic time, milliseconds. Undefined before the first reading. */
  #offset: number | undefined
  /**
   * A jump that is not accepted yet: the new offset of the system clock, and the monotonic time of the jump. Undefined:
   * there is none.
   */
  #pendingJump: { offset: number; readonly since: number } | undefined
  #jump: ClockJump | undefined

  /** The last jump. Undefined: there was none. */
  get jump(): ClockJump | undefined {
    return this.#jump
  }

  /**
   * Returns the server's time, milliseconds since 1970, a whole number. The first reading is accepted as it is.
   * @param wall system clock, milliseconds since 1970
   * @param monotonic monotonic clock, milliseconds
   */
  read(wall: number, monotonic: number): number {
    const offset = wall - monotonic
    this.#offset ??= offset
    if (isNear(offset, this.#offset)) {
      if (this.#pendingJump !== undefined) this.#end('passed')
      this.#offset = offset
      return wall
    }
    if (this.#pendingJump === undefined || !isNear(offset, this.#pendingJump.offset)) {
      this.#pendingJump = { offset, since: monotonic }
      this.#jump = { by: Math.round(offset - this.#offset), verdict: 'judging' }
    }
    this.#pendingJump.offset = offset
    if (monotonic - this.#pendingJump.since < BELIEVED_AFTER_MS) return Math.round(this.#offset + monotonic)
    this.#end('believed')
    this.#offset = offset
    return wall
  }

  #end(verdict: 'believed' | 'passed'): void {
    this.#pendingJump = undefined
    this.#jump = { by: this.#jump?.by ?? 0, verdict }
  }
}

function isNear(offset: number, other: number): boolean {
  return Math.abs(offset - other) <= JUMP_MS
}
