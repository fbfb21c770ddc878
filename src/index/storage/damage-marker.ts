/** Damage in the index, noted down in a file beside it: an index in which damage was found is made anew at the next start. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError, isDaybookError } from '../../errors.js'

/** File in the index's directory: damage was found in it. */
const DAMAGED = 'DAMAGED'

/** True when damage was found in the index of this directory. */
export function isMarkedDamaged(directory: string): boolean {
  return existsSync(join(directory, DAMAGED))
}

/** Notes that an index is damaged. What cannot be noted is found again. @param directory of the index */
export function markDamaged(directory: string, why: string): void {
  try {
    writeFileSync(join(directory, DAMAGED), why)
  } catch {}
}

export class DamageMarker {
  readonly #directory: string
  readonly #marks: boolean

  /** @param directory that of the index @param marks false: damage is only reported */
  constructor(directory: string, marks: boolean) {
    this.#directory = directory
    this.#marks = marks
  }

  /** Waits for work that may find damage, and marks that. */
  async watch<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw this.mark(error)
    }
  }

  /** Does work that may find damage, and marks that. */
  watchSync<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw this.mark(error)
    }
  }

  /** An error to throw: `index-damaged`, which is marked. */
  found(what: string): unknown {
    return this.mark(new DaybookError('index-damaged', `The index is damaged: ${what}.`))
  }

  /** Marks the index when the error is `index-damaged`. @returns the error */
  mark(error: unknown): unknown {
    if (this.#marks && isDaybookError(error) && error.code === 'index-damaged') {
      markDamaged(this.#directory, error.message)
    }
    return error
  }
}
