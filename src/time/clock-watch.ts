/**
 * Watches the clock. Warns when the clock is behind the last event of the log, so that `created` does not advance, and
 * when the clock has jumped. It checks once a second. This also gives SteadyTime the regular readings that it needs to
 * detect jumps.
 */

import { limits } from '../limits.js'
import type { Clock } from './clock.js'
import { inWords } from './duration.js'
import { BELIEVED_AFTER_MS, type ClockJump } from './steady-time.js'

const CHECK_MS = 1000

/** A problem with the clock, as `GET /readyz` shows it. */
export interface ClockTrouble {
  /** How far the clock is behind the last event, seconds. Undefined: it is not behind. */
  behindSeconds?: number
  /** A jump of the system clock that is not accepted yet, seconds; negative: back in time. */
  jumpSeconds?: number
  detail: string
}

/** The log whose last event is compared with the clock. */
interface WatchedLog {
  /** Position of the last event. */
  readonly head: number
  /** When the last event was created, milliseconds since 1970; 0 when there is none. */
  readonly lastCreated: number
}

export class ClockWatch {
  readonly #clock: Clock
  readonly #log: WatchedLog
  #listener: (warning: string) => void = () => {}
  #jump: ClockJump | undefined
  #wasBehind = false
  #cancel = () => {}

  constructor(clock: Clock, log: WatchedLog) {
    this.#clock = clock
    this.#log = log
    this.#jump = clock.jump?.()
    this.#checkLater()
  }

  /** How far the clock is behind the last event, milliseconds; 0 when it is not behind. */
  get behindMs(): number {
    return Math.max(0, this.#log.lastCreated - this.#clock.now())
  }

  /** The last jump of the system clock, milliseconds; negative: back in time; 0: none. */
  get jumpMs(): number {
    return this.#clock.jump?.()?.by ?? 0
  }

  /** The current problem with the clock. Undefined: none. */
  get trouble(): ClockTrouble | undefined {
    const { behindMs } = this
    const isBehind = behindMs > limits.clock_behind_ms_max
    const jump = this.#clock.jump?.()
    const isPending = jump?.verdict === 'judging'
    if (!isBehind && !isPending) return undefined
    return {
      ...(isBehind && { behindSeconds: behindMs / 1000 }),
      ...(isPending && { jumpSeconds: jump.by / 1000 }),
      detail: [...(isBehind ? [this.#behind(behindMs)] : []), ...(isPending ? [describeJump(jump)] : [])].join(' ')
    }
  }

  /** Sets the listener. It gets a warning for each current problem at once, and for each new problem later. */
  tell(listener: (warning: string) => void): void {
    this.#listener = listener
    this.#wasBehind = false
    this.#check()
  }

  close(): void {
    this.#cancel()
  }

  #checkLater(): void {
    this.#cancel = this.#clock.after(CHECK_MS, () => {
      this.#check()
      this.#checkLater()
    })
  }

  #check(): void {
    const { behindMs } = this // reads the clock, which may detect a jump
    const jump = this.#clock.jump?.()
    if (jump !== this.#jump && jump !== undefined) this.#listener(describeJump(jump))
    this.#jump = jump
    const isBehind = behindMs > limits.clock_behind_ms_max
    if (isBehind && !this.#wasBehind) this.#listener(this.#behind(behindMs))
    this.#wasBehind = isBehind
  }

  #behind(ms: number): string {
    const { head, lastCreated } = this.#log
    const last = `the last event (position ${head}, created ${new Date(lastCreated).toISOString()})`
    return `The clock is ${inWords(ms)} behind ${last}. Until it has passed that time, new events get that time too: maxAge does not hide them, from=-15m returns all of them, and to= with the clock's time returns none. If the clock is wrong, set it. If the clock was wrong when those events were written, export the log and import it into a new directory: there events get new times, and keep the old ones as "occurred".`
  }
}

function describeJump({ by, verdict }: ClockJump): string {
  const jumped = `${inWords(by)} ${by < 0 ? 'back' : 'ahead'}`
  if (verdict === 'believed') return `The system clock stays ${jumped}. The server's time follows it now.`
  if (verdict === 'passed')
    return `The system clock came back after a jump of ${jumped}. The server's time ignored the jump.`
  return `The system clock jumped ${jumped}. The server's time ignores the jump unless it lasts ${BELIEVED_AFTER_MS / 1000} s.`
}
