/** Checks the tables of a database before LevelDB opens it. */
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
  /** Called with the number of bytes read and the number of bytes to read. Its errors are thrown. */
  readonly onProgress?: ((done: number, of: number) => void) | undefined
  /** Each opening checks the newest tables up to so many bytes. Default: `limits.tables_checked_at_start_bytes`. */
  readonly bytesInAnyCase?: number
  /** Called before a table of the index is replaced, to mark the index for a rebuild. @param why for the operator */
  readonly markIndexDamaged: (directory: string, why: string) => void
}

/**
 * Checks the tables of a database that is about to be opened, replaces damaged ones, and marks the database as open.
 *
 * Always checks the newest tables, up to `bytesInAnyCase` bytes, and so the whole of a small database. After a crash,
 * also checks the tables written since the last opening. After a second crash in a row, or if damage was found while
 * the database was open, checks all tables.
 * @returns the replaced tables, and the saved state
 * @throws DaybookError `directory-in-use` when another process has the database open, whose saved state stays
 * unchanged; `directory-unusable` when a damaged table cannot be replaced
 */
export async function checkBeforeOpening(
  name: DatabaseName,
  check: OpeningCheck
): Promise<{ damages: TableDamage[]; state: CheckedState }> {
  const database = await DatabaseTables.list(check.directory, name).catch((error: NodeJS.ErrnoException) => {
    // The path is no readable directory. LevelDB cannot open it either and will report that.
    if (error.syscall === undefined) throw error
    return undefined
  })
  if (database === undefined) return { damages: [], state: NOTHING_CHECKED }
  const before = readChecked(database.directory)
  // "open" means either a crash or another running process. The state of a running process must not be overwritten.
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

/** Checks tables and replaces each damaged one. */
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
      // An error of the system is no damage: LevelDB may be able to read the table later.
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
  const message = `${directory} is held by another process`
  throw new DaybookError('directory-in-use', message)
}

async function replaceDamaged(database: DatabaseTables, damaged: DamagedTable, now: number): Promise<TableDamage> {
  try {
    return await replaceTable(database, damaged, now)
  } catch (cause) {
    const { file } = damageOf(database.name, damaged)
    const message = `${file} is damaged and could not be replaced: ${(cause as Error).message}`
    throw new DaybookError('directory-unusable', message, {}, cause)
  }
}
