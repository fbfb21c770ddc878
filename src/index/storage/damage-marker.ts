/** Records damage in the index in a marker file in its directory. A damaged index is rebuilt at the next start. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError, isDaybookError } from '../../errors.js'

/** Name of the marker file in the index's directory. */
const DAMAGED = 'DAMAGED'

/** Returns true when the index of this directory is marked as damaged. */
export function isMarkedDamaged(directory: string): boolean {
  return existsSync(join(directory, DAMAGED))
}

/**
 * Marks an index as damaged. A failure to write is ignored: the damage will be detected again.
 * @param directory of the index
 */
export function markDamaged(directory: string, why: string): void {
  try {
    writeFileSync(join(directory, DAMAGED), why)
  } catch {}
}

export class DamageMarker {
  readonly #directory: string
  readonly #marks: boolean

  /** @param directory of the index @param marks false: errors are passed on, and nothing is written */
  constructor(directory: string, marks: boolean) {
    this.#directory = directory
    this.#marks = marks
  }

  /** Waits for work that may find damage. Marks the index when it does, and rethrows the error. */
  async watch<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw this.mark(error)
    }
  }

  /** Does work that may find damage. Marks the index when it does, and rethrows the error. */
  watchSync<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.mark(error)
    }
  }

  /** Marks the index as damaged. Returns an `index-damaged` error to throw. */
  found(what: string): unknown {
    return this.mark(new DaybookError('index-damaged', `The index is damaged: ${what}.`))
  }

  /** Marks the index when the error is `index-damaged`. Returns the error. */
  mark(error: unknown): unknown {
    if (this.#marks && isDaybookError(error) && error.code === 'index-damaged') {
      markDamaged(this.#directory, error.message)
    }
    return error
  }
}
