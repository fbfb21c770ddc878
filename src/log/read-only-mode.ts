/**
 * Read-only mode: after a failed write, or when the disk has no space for the ballast, appends are refused and reads
 * continue. Every second the store checks whether the disk has space again. It then reopens its databases, because a
 * LevelDB handle stays failed after one failed write, and leaves the mode.
 *
 * This recovery runs in the writer's turn: it waits for a running commit, and nothing is planned, committed or indexed
 * meanwhile. The writer may also start it itself, in its own turn.
 */

import { isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import type { Ballast } from './ballast.js'
import { isDiskFull } from './storage-faults.js'

const RETRY_EVERY_MS = 1000

export interface ReadOnlyModeParts {
  ballast: Ballast
  clock: Clock
  /** Runs work in the writer's turn. */
  inTurn(work: () => Promise<void>): Promise<void>
  /** Reopens the databases and brings heads and index up to what is on the disk. Called in the writer's turn. */
  recover(): Promise<void>
  /** Called when the store can write again. */
  onEnd(): void
}

export class ReadOnlyMode {
  readonly #parts: ReadOnlyModeParts
  #why: string | undefined
  /** Number of failed writes. */
  #failures = 0
  #cancel = () => {}
  #closed = false
  /** Resolves when `loadBallast` has created the ballast or failed to. */
  #loading: Promise<void> = Promise.resolve()

  constructor(parts: ReadOnlyModeParts) {
    this.#parts = parts
  }

  /** Why appends are refused; undefined when the store can write. */
  get why(): string | undefined {
    return this.#why
  }

  /** Starts to create the ballast if it is missing. Enters the mode when the disk has no space for it. */
  loadBallast(): void {
    const { ballast } = this.#parts
    this.#loading = ballast.load().then((loaded) => {
      if (!loaded) this.begin(new Error('the disk is nearly full'))
    })
  }

  /** Enters the mode after a failed write. A recovery that is running then does not end the mode; it is retried. */
  begin(cause: Error): void {
    this.#failures++
    if (this.#why !== undefined) return
    this.#why = reasonOf(cause)
    this.#parts.ballast.drop()
    this.#retryLater()
  }

  /**
   * Leaves the mode if the disk has space and the databases can be reopened. Must be called in the writer's turn.
   * @returns true when the store can write again; otherwise it is retried within a second, unless the store is closed
   */
  async tryToEnd(): Promise<boolean> {
    if (this.#closed) return false
    const { ballast, recover, onEnd } = this.#parts
    const failures = this.#failures
    try {
      if ((await ballast.freeBytes()) < limits.free_bytes_min) return false
      await recover()
      if (!(await ballast.load()) || this.#failures !== failures) return false
    } catch (error) {
      this.#why = reasonOf(error as Error)
      return false
    }
    this.#why = undefined
    this.#cancel()
    if (!this.#closed) onEnd()
    return true
  }

  /**
   * Stops further recoveries. One that already has the writer's turn still completes. Resolves when the ballast is no
   * longer being written.
   */
  close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    this.#parts.ballast.stop()
    return this.#loading
  }

  #retryLater(): void {
    if (this.#closed) return
    this.#cancel = this.#parts.clock.after(RETRY_EVERY_MS, () => {
      this.#parts.inTurn(() => this.#retry()).catch((error) => this.begin(error))
    })
  }

  async #retry(): Promise<void> {
    // The writer may have left the mode while this retry waited for its turn.
    if (this.#why === undefined || (await this.tryToEnd())) return
    this.#retryLater()
  }
}

/** Returns the reason that clients see. It contains no paths. */
function reasonOf(cause: Error): string {
  if (isDiskFull(cause) || /nearly full/.test(cause.message)) return 'the disk is full'
  if (isDaybookError(cause) && cause.code === 'log-damaged') return 'the log is damaged'
  if (isDaybookError(cause) && (cause.code === 'index-damaged' || cause.code === 'internal'))
    return 'the index does not agree with the log'
  return 'the disk refused a write'
}
