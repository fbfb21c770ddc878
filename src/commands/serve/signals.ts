/** What ends the process that serves, and what signals do to it. */
import { limits } from '../../limits.js'
import { isOutOfDescriptors } from '../../log/storage-faults.js'
import type { Clock } from '../../time/clock.js'
import { warn } from '../wording.js'

/**
 * SIGHUP reads the certificate again; when that fails, the one that is there stays.
 * @param reload does it, and says what was done
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

/** What can be closed when the process ends. */
interface Closable {
  close(): PromiseLike<unknown>
}

/** How often the operator is told that the process has no descriptors left. */
const DESCRIPTORS_TOLD_MS = 10_000

/**
 * The end of the process that serves. The first SIGINT or SIGTERM closes with a deadline: what was taken is answered, then
 * the store closes. A second signal, or the deadline, ends the process. So does an error that nothing has caught, with exit
 * code 1: what is in memory may be wrong then, and what was acknowledged is on disk.
 */
export class ProcessEnd {
  readonly #clock: Clock
  readonly #ending = new AbortController()
  #since = 0
  #code = 0
  #toldOfDescriptors = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Aborted when the process is to end. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /** To be called before anything else: whatever is under way, a signal ends it cleanly from here on. */
  listen(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => this.#stop(signal))
    process.on('uncaughtException', (error, origin) => this.#fail(error, origin))
    // The reader of a pipe may leave.
    for (const out of [process.stdout, process.stderr]) out.on('error', () => {})
  }

  /** Closes the application when the process is to end, or at once when it already is. @returns the exit code after that */
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
      // A terminal and npm both pass one Ctrl-C on: what comes at once is the same signal.
      if (this.#clock.elapsed() - this.#since > 500) process.exit(130)
      return
    }
    process.stdout.write(`${signal}: stopping\n`)
    this.#begin(0)
  }

  /** An error that nothing has caught. One of a timer that lacked a descriptor broke nothing: clients took them all. */
  #fail(error: Error, origin: string): void {
    if (isOutOfDescriptors(error)) {
      this.#tellOfDescriptors(error)
      return
    }
    const where = origin === 'unhandledRejection' ? 'a promise that nobody waited for' : 'code that nobody watched'
    process.stderr.write(`daybook: stopping because of a bug, an error in ${where}: ${error?.stack ?? String(error)}\n`)
    if (this.signal.aborted) process.exit(1)
    this.#begin(1)
  }

  #tellOfDescriptors({ message }: Error): void {
    const now = this.#clock.elapsed()
    if (now - this.#toldOfDescriptors < DESCRIPTORS_TOLD_MS) return
    this.#toldOfDescriptors = now
    warn(`the process has no file descriptors left (${message}); raise the limit ("ulimit -n 65536")`)
  }

  #begin(code: number): void {
    this.#code = code
    this.#since = this.#clock.elapsed()
    this.#clock.after(limits.stop_deadline_ms, exitLate)
    this.#ending.abort()
  }
}

function exitLate(): never {
  const seconds = limits.stop_deadline_ms / 1000
  process.stderr.write(`daybook: did not stop within ${seconds} s; what was acknowledged is on disk\n`)
  process.exit(1)
}
