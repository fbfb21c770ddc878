/**
 * Watches the clock, and warns when it is behind the last event of the log, so that `created` stands still, or when it
 * has jumped. It looks once a second. That also gives SteadyTime the regular readings by which it recognises jumps.
 */

import { limits } from '../limits.js'
import type { Clock } from './clock.js'
import { spoken } from './duration.js'
import { BELIEVED_AFTER_MS, type ClockJump } from './steady-time.js'

const LOOK_MS = 1000

/** As `GET /readyz` shows it. */
export interface ClockTrouble {
  /** How far the clock is behind the last event, seconds; undefined: it is not. */
  behindSeconds?: number
  /** A jump of the machine's clock that is not believed yet, seconds; negative: back in time. */
  jumpSeconds?: number
  detail: string
}

/** The log with whose last event the clock is compared. */
interface WatchedLog {
  /** Position of the last event. */
  readonly head: number
  /** When it was created, milliseconds since 1970; 0 when there is none. */
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
    this.#lookLater()
  }

  /** How far the clock is behind the last event, milliseconds; 0 when it is not. */
  get behindMs(): number {
    return Math.max(0, this.#log.lastCreated - this.#clock.now())
  }

  /** The last jump of the machine's clock, milliseconds; negative: back in time; 0: there was none. */
  get jumpMs(): number {
    return this.#clock.jump?.()?.by ?? 0
  }

  /** What is wrong with the clock now; undefined: nothing. */
  get trouble(): ClockTrouble | undefined {
    const { behindMs } = this
    const isBehind = behindMs > limits.clock_behind_ms_max
    const jump = this.#clock.jump?.()
    const isJudged = jump?.verdict === 'judging'
    if (!isBehind && !isJudged) return undefined
    return {
      ...(isBehind && { behindSeconds: behindMs / 1000 }),
      ...(isJudged && { jumpSeconds: jump.by / 1000 }),
      detail: [...(isBehind ? [this.#behind(behindMs)] : []), ...(isJudged ? [wordsOf(jump)] : [])].join(' ')
    }
  }

  /** Calls back with a warning for everything that is wrong now, and later for everything new. */
  tell(listener: (warning: string) => void): void {
    this.#listener = listener
    this.#wasBehind = false
    this.#look()
  }

  close(): void {
    this.#cancel()
  }

  #lookLater(): void {
    this.#cancel = this.#clock.after(LOOK_MS, () => {
      this.#look()
      this.#lookLater()
    })
  }

  #look(): void {
    const { behindMs } = this // reads the clock, which may find a jump
    const jump = this.#clock.jump?.()
    if (jump !== this.#jump && jump !== undefined) this.#listener(wordsOf(jump))
    this.#jump = jump
    const isBehind = behindMs > limits.clock_behind_ms_max
    if (isBehind && !this.#wasBehind) this.#listener(this.#behind(behindMs))
    this.#wasBehind = isBehind
  }

  #behind(ms: number): string {
    const { head, lastCreated } = this.#log
    const last = `the last event (position ${head}, created ${new Date(lastCreated).toISOString()})`
    return `The clock is ${spoken(ms)} behind ${last}. Until the clock has passed that time, new events get it too: maxAge does not hide them, from=-15m returns all of them, and to= with the time of the clock returns none. If this clock is wrong, set it. If the clock was wrong when those events were written, export the log and import it into a new directory: there events get new times, and keep the old ones as "occurred".`
  }
}

function wordsOf({ by, verdict }: ClockJump): string {
  const jumped = `${spoken(by)} ${by < 0 ? 'back' : 'ahead'}`
  if (verdict === 'believed') return `The machine's clock stays ${jumped}: the server's time follows it.`
  if (verdict === 'passed') return `The machine's clock came back after a jump of ${jumped}, which was not believed.`
  return `The machine's clock jumped ${jumped}. The server's time goes on as before, and follows when that has lasted ${BELIEVED_AFTER_MS / 1000} s.`
}
