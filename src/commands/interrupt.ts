/** Ctrl-C during a command that moves events: what is under way ends in order, and it says how far it got. */
import { constants } from 'node:os'
import type { Clock } from '../time/clock.js'

/** A terminal and npm both pass one Ctrl-C on: what comes so soon is the same signal, milliseconds. */
const SAME_SIGNAL_MS = 500

/** The first SIGINT or SIGTERM asks for an end. The second ends the process. */
export class Interrupt {
  readonly #clock: Clock
  readonly #asked = new AbortController()
  readonly #listener = (signal: NodeJS.Signals) => this.#hear(signal)
  readonly #atOnce: () => void
  #since = 0
  /** Exit code of a process that a signal ended, as a shell reports it. 0: there was none. */
  code = 0

  /** @param atOnce called before the process ends at a second signal */
  constructor(clock: Clock, atOnce: () => void = () => {}) {
    this.#clock = clock
    this.#atOnce = atOnce
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.#listener)
  }

  /** Aborted when an end is asked for. */
  get signal(): AbortSignal {
    return this.#asked.signal
  }

  /** Signals do again what they do by themselves. */
  close(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#listener)
  }

  #hear(signal: NodeJS.Signals): void {
    if (this.signal.aborted) {
      if (this.#clock.elapsed() - this.#since < SAME_SIGNAL_MS) return
      this.#atOnce()
      process.exit(this.code)
    }
    this.#since = this.#clock.elapsed()
    this.code = 128 + constants.signals[signal]
    this.#asked.abort()
  }
}
