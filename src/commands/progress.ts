/**
 * Progress on standard error. In a terminal it is a bar without colours. Elsewhere it is nothing, or a line at
 * intervals.
 */
import { canRedraw } from '../config/config.js'
import type { Clock } from '../time/clock.js'
import { counted } from './wording.js'

const WIDTH = 24
const REDRAW_MS = 100

export interface ProgressOptions {
  /** Time before anything is shown, milliseconds. Default: 0. */
  readonly quietMs?: number
  /** Interval between lines where there is no terminal, milliseconds. Undefined: no lines. */
  readonly lineEveryMs?: number
  /** Plural noun of the counted items. Default: events. */
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
  /** True if the output is a terminal that can redraw a line. */
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

  /** Shows the progress. @param fraction from 0 to 1; undefined if the total is not known */
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
      // A line that wraps could not be redrawn, so cut it to the width of the terminal.
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

  /** Clears the bar and prints a last line. */
  end(text: string): void {
    this.clear()
    this.#out.write(`${text}\n`)
  }

  /** Seconds since the start, for the last line. */
  get seconds(): number {
    return (this.#clock.elapsed() - this.#started) / 1000
  }

  #rate(count: number): string {
    return Math.round(count / Math.max(this.seconds, 0.001)).toLocaleString('en-US')
  }
}

/** Shows the progress of opening a store, if it takes longer than a second. */
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

  /**
   * Shows the progress of one step.
   * @param what names the step
   * @param done number of items read
   * @param of number of items to read
   * @param unit plural noun of the items
   */
  show(what: string, done: number, of: number, unit = 'events'): void {
    if (what !== this.#what) {
      this.clear()
      this.#what = what
      this.#progress = new Progress(what, this.#clock, { ...this.#options, unit })
    }
    this.#progress?.show(done, of === 0 ? 1 : done / of)
  }

  /** Clears the bar, before other lines are printed. */
  clear(): void {
    this.#progress?.clear()
  }
}
