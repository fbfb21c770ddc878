/**
 * Read-only mode: when the disk takes no more, appends are refused and reads go on. Every second the store looks whether
 * there is room again, opens its databases anew (a LevelDB handle that failed once stays failed) and leaves the mode by
 * itself.
 *
 * Recovery runs in the writer's turn: nothing is planned, committed or indexed meanwhile, and it waits for a commit that
 * is under way. The writer may also ask for it at once, in the turn that it has.
 */

import { isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import type { Ballast } from './ballast.js'
import { isDiskFull } from './storage-faults.js'

const LOOK_EVERY_MS = 1000

export interface ReadOnlyModeParts {
  ballast: Ballast
  clock: Clock
  /** Does some work in the writer's turn. */
  inTurn(work: () => Promise<void>): Promise<void>
  /** Opens the databases anew and brings heads and index up to what is on disk. Called in the writer's turn. */
  recover(): Promise<void>
  /** Called when the store can write again. */
  onEnd(): void
}

export class ReadOnlyMode {
  readonly #parts: ReadOnlyModeParts
  #why: string | undefined
  /** How often a write has failed. */
  #failures = 0
  #cancel = () => {}
  #closed = false
  /** Resolves when the ballast that was to be made at the start is there, or cannot be made. */
  #loading: Promise<void> = Promise.resolve()

  constructor(parts: ReadOnlyModeParts) {
    this.#parts = parts
  }

  /** Why nothing is written now; undefined when the store can write. */
  get why(): string | undefined {
    return this.#why
  }

  /** Begins to make the ballast when it is not there. Enters the mode when the disk has no room for it. */
  loadBallast(): void {
    const { ballast } = this.#parts
    this.#loading = ballast.load().then((loaded) => {
      if (!loaded) this.begin(new Error('the disk is nearly full'))
    })
  }

  /** Enters the mode: a write failed. When that happens during a recovery, the store recovers once more. */
  begin(cause: Error): void {
    this.#failures++
    if (this.#why !== undefined) return
    this.#why = reasonOf(cause)
    this.#parts.ballast.drop()
    this.#lookLater()
  }

  /**
   * Leaves the mode when there is room and the databases open. To be called in the writer's turn.
   * @returns whether the store can write again; otherwise it is tried again within a second, unless it is closed
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
   * Starts no recovery from now on. One that has the writer's turn already comes to its end. Resolves when nothing more is
   * written for the ballast.
   */
  close(): Promise<void> {
    this.#closed = true
    this.#cancel()
    this.#parts.ballast.stop()
    return this.#loading
  }

  #lookLater(): void {
    if (this.#closed) return
    this.#cancel = this.#parts.clock.after(LOOK_EVERY_MS, () => {
      this.#parts.inTurn(() => this.#look()).catch((error) => this.begin(error))
    })
  }

  async #look(): Promise<void> {
    // The writer may have recovered while this look waited for its turn.
    if (this.#why === undefined || (await this.tryToEnd())) return
    this.#lookLater()
  }
}

/** The reason as any client may see it: without paths. */
function reasonOf(cause: Error): string {
  if (isDiskFull(cause) || /nearly full/.test(cause.message)) return 'the disk is full'
  if (isDaybookError(cause) && cause.code === 'log-damaged') return 'the log is damaged'
  if (isDaybookError(cause) && (cause.code === 'index-damaged' || cause.code === 'internal'))
    return 'the index does not agree with the log'
  return 'the disk refused a write'
}
