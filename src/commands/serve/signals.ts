/** What signals do to the process that serves. */
import type { FastifyInstance } from 'fastify'
import { limits } from '../../limits.js'
import type { Clock } from '../../time/clock.js'
import { warn } from './warnings.js'

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

/**
 * The first SIGINT or SIGTERM closes with a deadline: what was taken is answered, then the store closes. A second signal,
 * or the deadline, ends the process.
 * @returns the exit code, when it has stopped
 */
export function stopOnSignal(app: FastifyInstance, clock: Clock): Promise<number> {
  return new Promise((resolve) => {
    let since: number | undefined
    const stop = (signal: NodeJS.Signals) => {
      const now = clock.elapsed()
      if (since !== undefined) {
        // A terminal and npm both pass one Ctrl-C on: what comes at once is the same signal.
        if (now - since > 500) process.exit(130)
        return
      }
      since = now
      process.stdout.write(`${signal}: stopping\n`)
      clock.after(limits.stop_deadline_ms, exitLate)
      app.close().then(
        () => resolve(0),
        (error: Error) => {
          process.stderr.write(`daybook: ${error.message}\n`)
          resolve(1)
        }
      )
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  })
}

function exitLate(): never {
  const seconds = limits.stop_deadline_ms / 1000
  process.stderr.write(`daybook: did not stop within ${seconds} s; what was acknowledged is on disk\n`)
  process.exit(1)
}
