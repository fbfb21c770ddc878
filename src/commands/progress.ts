/** A progress bar on standard error: redrawn in a terminal, silent elsewhere until the end. */
import type { Clock } from '../time/clock.js'

const WIDTH = 24
const REDRAW_MS = 100

export class Progress {
  readonly #what: string
  readonly #clock: Clock
  readonly #started: number
  #drawn = 0

  constructor(what: string, clock: Clock) {
    this.#what = what
    this.#clock = clock
    this.#started = clock.elapsed()
  }

  /** @param fraction 0 to 1, undefined when the end is not known */
  show(count: number, fraction?: number): void {
    const now = this.#clock.elapsed()
    if (!process.stderr.isTTY || now - this.#drawn < REDRAW_MS) return
    this.#drawn = now
    const filled = Math.round((fraction ?? 0) * WIDTH)
    const bar = fraction === undefined ? '' : `${'█'.repeat(filled)}${'░'.repeat(WIDTH - filled)} `
    process.stderr.write(`\r\x1b[K${this.#what} ${bar}${count.toLocaleString('en-US')} events · ${this.#rate(count)}/s`)
  }

  /** Clears the bar and leaves one line. */
  end(text: string): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
    process.stderr.write(`${text}\n`)
  }

  /** Seconds since it began, for a last line. */
  get seconds(): number {
    return (this.#clock.elapsed() - this.#started) / 1000
  }

  #rate(count: number): string {
    return Math.round(count / Math.max(this.seconds, 0.001)).toLocaleString('en-US')
  }
}
