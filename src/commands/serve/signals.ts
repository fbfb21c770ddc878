/** How the server process ends, and how it handles signals. */
import { limits } from '../../limits.js'
import { isOutOfDescriptors } from '../../log/storage-faults.js'
import type { Clock } from '../../time/clock.js'
import { warn } from '../wording.js'

/**
 * Reloads the certificate on SIGHUP. If that fails, the current certificate stays in use.
 * @param reload reloads it and returns a text that says what was done
 */
export function reloadOnSignal(reload: () => string): void {
  process.on('SIGHUP', () => {
    try {
      process.stdout.write(`SIGHUP: ${reload()}\n`)
    } catch (error) {
      warn(`SIGHUP: ${(error as Error).message}`)
    }
  })
}

/** The application, which is closed when the process ends. */
interface Closable {
  close(): PromiseLike<unknown>
}

/** Minimum interval between warnings about missing file descriptors, milliseconds. */
const DESCRIPTORS_WARNING_MS = 10_000

/**
 * Ends the server process. The first SIGINT or SIGTERM closes it with a deadline: accepted requests are answered, then
 * the store closes. A second signal, or the deadline, ends the process. An uncaught error also closes the server, with
 * exit code 1: the state in memory may be wrong, and every acknowledged event is on disk.
 */
export class ProcessEnd {
  readonly #clock: Clock
  readonly #ending = new AbortController()
  #endingSince = 0
  #code = 0
  #warnedOfDescriptors = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Aborted when the process begins to end. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** Installs the handlers. Call it before anything else, so that a signal ends every later step cleanly. */
  listen(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#stop(signal))
    process.on('uncaughtException', (error, origin) => this.#fail(error, origin))
    // The reader of a pipe may close it.
    for (const out of [process.stdout, process.stderr]) out.on('error', () => {})
  }

  /** Closes the application when the process begins to end, or at once if it already has. Resolves to the exit code. */
  closes(app: Closable): Promise<number> {
    return new Promise((resolve) => {
      const close = () => {
        app.close().then(
          () => resolve(this.#code),
          (error: Error) => {
            process.stderr.write(`daybook: ${error.message}\n`)
            resolve(1)
          }
        )
      }
      if (this.signal.aborted) close()
      else this.signal.addEventListener('abort', close, { once: true })
    })
  }

  #stop(signal: NodeJS.Signals): void {
    if (this.signal.aborted) {
      // A terminal and npm both deliver one Ctrl-C. Signals within 500 ms count as one.
      if (this.#clock.elapsed() - this.#endingSince > 500) process.exit(130)
      return
    }
    process.stdout.write(`${signal}: stopping\n`)
    this.#begin(0)
  }

  /**
   * Handles an uncaught error. A timer that fails for lack of a descriptor has broken nothing: connections use all
   * descriptors, so the operator is warned and the server continues.
   */
  #fail(error: Error, origin: string): void {
    if (isOutOfDescriptors(error)) {
      this.#warnOfDescriptors(error)
      return
    }
    const kind = origin === 'unhandledRejection' ? 'an unhandled rejection' : 'an uncaught error'
    process.stderr.write(`daybook: stopping because of a bug, ${kind}: ${error?.stack ?? String(error)}\n`)
    if (this.signal.aborted) process.exit(1)
    this.#begin(1)
  }

  #warnOfDescriptors({ message }: Error): void {
    const now = this.#clock.elapsed()
    if (now - this.#warnedOfDescriptors < DESCRIPTORS_WARNING_MS) return
    this.#warnedOfDescriptors = now
    warn(`the process has no file descriptors left (${message}); raise the limit ("ulimit -n 65536")`)
  }

  #begin(code: number): void {
    this.#code = code
    this.#endingSince = this.#clock.elapsed()
    this.#clock.after(limits.stop_deadline_ms, exitLate)
    this.#ending.abort()
  }
}

function exitLate(): never {
  const seconds = limits.stop_deadline_ms / 1000
  process.stderr.write(`daybook: did not stop within ${seconds} s; what was acknowledged is on disk\n`)
  process.exit(1)
}
