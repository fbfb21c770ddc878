/** Progress on standard error: a bar that is redrawn in a terminal, without colours; elsewhere nothing, or a line now and then. */
import { canRedraw } from '../config/config.js'
import type { Clock } from '../time/clock.js'
import { counted } from './wording.js'

const WIDTH = 24
const REDRAW_MS = 100

export interface ProgressOptions {
  /** Nothing is shown before this time, milliseconds. Default: 0. */
  readonly quietMs?: number
  /** How often a line is written where there is no terminal, milliseconds. Undefined: never. */
  readonly lineEveryMs?: number
  /** What is counted. Default: events. */
  readonly unit?: string
  /** Default: standard error. */
  readonly out?: Out
}

type Out = Pick<NodeJS.WriteStream, 'isTTY' | 'write'> & { readonly columns?: number }

export class Progress {
  readonly #what: string
  readonly #clock: Clock
  readonly #quietMs: number
  readonly #lineEveryMs: number
  readonly #unit: string
  readonly #out: Out
  /** It is a terminal that can take a line back. */
  readonly #redraws: boolean
  readonly #started: number
  #drawn = -Infinity

  constructor(what: string, clock: Clock, options: ProgressOptions = {}) {
    const { quietMs = 0, lineEveryMs = Infinity, unit = 'events', out = process.stderr } = options
    this.#what = what
    this.#clock = clock
    this.#quietMs = quietMs
    this.#lineEveryMs = lineEveryMs
    this.#unit = unit
    this.#out = out
    this.#redraws = out.isTTY && canRedraw()
    this.#started = clock.elapsed()
  }

  /** @param fraction 0 to 1, undefined when the end is not known */
  show(count: number, fraction?: number): void {
    const now = this.#clock.elapsed()
    const redraws = this.#redraws
    if (!redraws && this.#lineEveryMs === Infinity) return
    if (now - this.#started < this.#quietMs || now - this.#drawn < (redraws ? REDRAW_MS : this.#lineEveryMs)) return
    this.#drawn = now
    const done = `${counted(count, this.#unit.replace(/s$/, ''))} · ${this.#rate(count)}/s`
    if (redraws) {
      const filled = Math.round((fraction ?? 0) * WIDTH)
      const bar = fraction === undefined ? '' : `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} `
      // A line that is longer than the terminal is wide could not be taken back.
      this.#out.write(`\r\x1b[K${`${this.#what} ${bar}${done}`.slice(0, (this.#out.columns ?? 80) - 1)}`)
    } else {
      const percent = fraction === undefined ? '' : `${Math.floor(fraction * 100)} % · `
      this.#out.write(`${this.#what}: ${percent}${done}\n`)
    }
  }

  /** Clears the bar. */
  clear(): void {
    if (this.#redraws && this.#drawn > -Infinity) this.#out.write('\r\x1b[K')
  }

  /** Clears the bar and leaves one line. */
  end(text: string): void {
    this.clear()
    this.#out.write(`${text}\n`)
  }

  /** Seconds since it began, for a last line. */
  get seconds(): number {
    return (this.#clock.elapsed() - this.#started) / 1000
  }

  #rate(count: number): string {
    return Math.round(count / Math.max(this.seconds, 0.001)).toLocaleString('en-US')
  }
}

/** Shows how far a store that opens is, when that takes longer than a second. */
export class StartProgress {
  readonly #clock: Clock
  readonly #options: ProgressOptions
  #what = ''
  #progress: Progress | undefined

  /** @param out default: standard error */
  constructor(clock: Clock, out?: ProgressOptions['out']) {
    this.#clock = clock
    this.#options = { quietMs: 1000, lineEveryMs: 10_000, ...(out && { out }) }
  }

  /** @param what is done @param done events, or others of the unit, that were read @param of those that are to be read */
  show(what: string, done: number, of: number, unit = 'events'): void {
    if (what !== this.#what) {
      this.clear()
      this.#what = what
      this.#progress = new Progress(what, this.#clock, { ...this.#options, unit })
    }
    this.#progress?.show(done, of === 0 ? 1 : done / of)
  }

  /** Clears the bar: other lines follow. */
  clear(): void {
    this.#progress?.clear()
  }
}
