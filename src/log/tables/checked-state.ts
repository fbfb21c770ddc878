/**
 * The state of the table checks of a database. It is stored in a file beside the tables, so it is deleted with them
 * when the database is rebuilt.
 */
import { constants, existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from './quarantine.js'

const FILE = 'CHECKED'

export interface CheckedState {
  /** True while the database is open, and after a crash, until the next close. */
  readonly open: boolean
  /** The highest table number when the database was opened. Tables with higher numbers were written since. */
  readonly newest: number
  /** Consecutive openings after a crash, since all tables were last checked. */
  readonly crashes: number
  /** The unfinished pass has checked all tables below this number; 0: no pass is unfinished. */
  readonly next: number
  /** When the last complete check of all tables ended, milliseconds since 1970; 0: never. */
  readonly passed: number
  /** True when damage was found while the database was open: all tables are checked before it is opened again. */
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

/** Returns the stored state; NOTHING_CHECKED when the file is missing or damaged. @param directory of the database */
export function readChecked(directory: string): CheckedState {
  try {
    const state = JSON.parse(readFileSync(join(directory, FILE), 'utf8')) as Partial<CheckedState>
    return { ...NOTHING_CHECKED, ...state }
  } catch {
    return NOTHING_CHECKED
  }
}

/**
 * Size of the file. It fits into a sector and is written at once, so a crash does not leave a mixture of two states.
 */
const FILE_BYTES = 256

/**
 * Writes the state. Ignores errors, such as a full disk: the old state then stays, which only changes how much is
 * checked.
 * @param directory of the database
 * @param sync true: resolves when the state is synced to the disk
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

/** True when this database has a stored state. @param directory of the database */
export function hasChecked(directory: string): boolean {
  return existsSync(join(directory, FILE))
}
