/** What is known of the tables of a database, in a file beside them: it goes when the database is made anew. */
import { constants, existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from './quarantine.js'

const FILE = 'CHECKED'

export interface CheckedState {
  /** The database is open, or was not closed before its process ended. */
  readonly open: boolean
  /** The highest number of a table when it was opened: tables above it were written since. */
  readonly newest: number
  /** Openings in a row that followed an end without a close, since all tables were checked for the last time. */
  readonly crashes: number
  /** All tables below this number were checked by the pass that is under way. */
  readonly next: number
  /** When all tables had been checked for the last time, milliseconds since 1970; 0: never. */
  readonly passed: number
  /** Damage was found while the database was open: all tables are checked before it is opened again. */
  readonly suspect: boolean
}

export const NOTHING_CHECKED: CheckedState = {
  open: false,
  newest: 0,
  crashes: 0,
  next: 0,
  passed: 0,
  suspect: false
}

/** @param directory of the database @returns that nothing is known when there is no such file, or it is damaged */
export function readChecked(directory: string): CheckedState {
  try {
    const state = JSON.parse(readFileSync(join(directory, FILE), 'utf8')) as Partial<CheckedState>
    return { ...NOTHING_CHECKED, ...state }
  } catch {
    return NOTHING_CHECKED
  }
}

/** The file is written in one piece of one length, within a sector. One that is cut short says nothing. */
const FILE_BYTES = 256

/**
 * Writes the state. Where that fails, as on a full disk, the one before stays: nothing but how much is checked depends on it.
 * @param sync true: it is on the disk when this resolves
 */
export async function writeChecked(directory: string, state: CheckedState, sync: boolean): Promise<void> {
  if (!existsSync(directory)) return
  try {
    const isNew = !hasChecked(directory)
    const file = await open(join(directory, FILE), constants.O_WRONLY | constants.O_CREAT)
    try {
      await file.write(Buffer.from(`${JSON.stringify(state)}\n`.padStart(FILE_BYTES)), 0, FILE_BYTES, 0)
      if (sync) await file.datasync()
    } finally {
      await file.close()
    }
    if (sync && isNew) await syncDirectory(directory)
  } catch {}
}

/** True when a state was written for this database. */
export function hasChecked(directory: string): boolean {
  return existsSync(join(directory, FILE))
}
