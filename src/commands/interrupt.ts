/** Handles Ctrl-C during import and export: the command ends its current work in order and reports its progress. */
import { constants } from 'node:os'
import type { Clock } from '../time/clock.js'

/** A terminal and npm both deliver one Ctrl-C. Signals within this time count as one, milliseconds. */
const SAME_SIGNAL_MS = 500

/** The first SIGINT or SIGTERM requests the end of the command. The second ends the process. */
export class Interrupt {
  readonly #clock: Clock
  readonly #requested = new AbortController()
  readonly #listener = (signal: NodeJS.Signals) => this.#onSignal(signal)
  readonly #atOnce: () => void
  #requestedAt = 0
  /** Exit code after a signal: 128 plus its number, as a shell reports it. 0 if there was no signal. */
  code = 0

  /** @param atOnce called before a second signal ends the process */
  constructor(clock: Clock, atOnce: () => void = () => {}) {
    this.#clock = clock
    this.#atOnce = atOnce
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#listener)
  }

  /** Aborted by the first signal. */
  get signal(): AbortSignal {
    return this.#requested.signal
  }

  /** Restores the default handling of both signals. */
  close(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#listener)
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (this.signal.aborted) {
      if (this.#clock.elapsed() - this.#requestedAt < SAME_SIGNAL_MS) return
      this.#atOnce()
      process.exit(this.code)
    }
    this.#requestedAt = this.#clock.elapsed()
    this.code = 128 + constants.signals[signal]
    this.#requested.abort()
  }
}
