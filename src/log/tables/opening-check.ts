/** The check of a database's tables before LevelDB opens it. */
import { DaybookError } from '../../errors.js'
import { limits } from '../../limits.js'
import { isHeld } from '../level.js'
import { damageOf, sizeOf, type TableDamage } from './check-tables.js'
import { type CheckedState, NOTHING_CHECKED, readChecked, writeChecked } from './checked-state.js'
import { type DamagedTable, type DatabaseName, type DatabaseTable, DatabaseTables } from './database-tables.js'
import { replaceTable } from './quarantine.js'

export interface OpeningCheck {
  /** The data directory. */
  readonly directory: string
  /** Now, milliseconds since 1970. */
  readonly now: number
  /** Called with how many of how many bytes were read; what it throws is thrown. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
  /** Bytes of each database's newest tables that are checked in any case. Default: the limit. */
  readonly bytesInAnyCase?: number
  /** Called before a table of the index is replaced: the index must be made anew. @param why for people */
  readonly markIndexDamaged: (directory: string, why: string) => void
}

/**
 * Checks what must be checked of a database that is about to be opened, sets damaged tables aside, and notes that it is
 * open.
 *
 * After an end without a close, those are the tables written since it was opened; after a second one in a row, or when
 * damage was found while it was open, all tables. In any case the newest, up to a number of bytes: a small database is
 * checked as a whole.
 * @returns what was set aside, and the state that was noted
 * @throws `directory-in-use` when another process has the database open: what it has noted stays; `directory-unusable` when a
 * damaged table cannot be set aside
 */
export async function checkBeforeOpening(
  name: DatabaseName,
  check: OpeningCheck
): Promise<{ damages: TableDamage[]; state: CheckedState }> {
  const database = await DatabaseTables.list(check.directory, name).catch((error: NodeJS.ErrnoException) => {
    // What is in its place, LevelDB cannot open either, and the opening says so.
    if (error.syscall === undefined) throw error
    return undefined
  })
  if (database === undefined) return { damages: [], state: NOTHING_CHECKED }
  const before = readChecked(database.directory)
  // After an end without a close nobody holds it; otherwise what that process has noted must stay.
  if (before.open) await refuseHeld(database.directory)
  const due = await dueTables(database, before, check.bytesInAnyCase ?? limits.tables_checked_at_start_bytes)
  const damages = await checkAll(database, due, check)
  const isWhole = due.length === database.tables.length
  const state: CheckedState = {
    open: true,
    newest: database.tables.at(-1)?.number ?? 0,
    crashes: isWhole || !before.open ? 0 : before.crashes + 1,
    next: isWhole ? 0 : before.next,
    passed: isWhole ? check.now : before.passed,
    suspect: false
  }
  await writeChecked(database.directory, state, true)
  return { damages, state }
}

async function dueTables(database: DatabaseTables, before: CheckedState, enough: number): Promise<DatabaseTable[]> {
  const { tables } = database
  if (before.suspect || (before.open && before.crashes > 0)) return [...tables]
  const due: DatabaseTable[] = []
  let bytes = 0
  for (const table of [...tables].reverse()) {
    bytes += await sizeOf(database, table)
    const isNew = before.open && table.number > before.newest
    if (isNew || bytes <= enough) due.push(table)
  }
  return due.reverse()
}

/** Checks tables, and sets each aside that is damaged. */
async function checkAll(
  database: DatabaseTables,
  due: readonly DatabaseTable[],
  check: OpeningCheck
): Promise<TableDamage[]> {
  const damages: TableDamage[] = []
  let bytes = 0
  for (const table of due) bytes += await sizeOf(database, table)
  let done = 0
  for (const table of due) {
    let damaged: DamagedTable | undefined
    try {
      damaged = await database.check(table, (read) => {
        done += read
        check.onProgress?.(Math.min(done, bytes), bytes)
      })
    } catch (error) {
      // LevelDB may be able to read it later: an error of the system is no damage.
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
    }
    if (damaged === undefined) continue
    if (damages.length === 0) await prepareReplacing(database, damaged, check)
    damages.push(await replaceDamaged(database, damaged, check.now))
  }
  return damages
}

async function prepareReplacing(
  { name, directory }: DatabaseTables,
  { table }: DamagedTable,
  { markIndexDamaged }: OpeningCheck
): Promise<void> {
  await refuseHeld(directory)
  if (name === 'index') markIndexDamaged(directory, `its table ${table.name} is damaged`)
}

async function refuseHeld(directory: string): Promise<void> {
  if (!(await isHeld(directory))) return
  throw new DaybookError('directory-in-use', `${directory} is held by another process`)
}

async function replaceDamaged(database: DatabaseTables, damaged: DamagedTable, now: number): Promise<TableDamage> {
  try {
    return await replaceTable(database, damaged, now)
  } catch (cause) {
    const { file } = damageOf(database.name, damaged)
    const message = `${file} is damaged and could not be set aside: ${(cause as Error).message}`
    throw new DaybookError('directory-unusable', message, {}, cause)
  }
}
