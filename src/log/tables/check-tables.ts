/** Checks all tables of a data directory that no process has open. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type DamagedTable,
  type DatabaseName,
  type DatabaseTable,
  DatabaseTables,
  databaseNames
} from './database-tables.js'
import { type PositionRange, rangesText } from './positions.js'

export interface TableDamage {
  readonly database: DatabaseName
  /** Path in the data directory: `log/000123.ldb`. */
  readonly file: string
  /** The damaged parts: `the block at byte 81920`, `the index`. */
  readonly faults: readonly string[]
  /**
   * For a table of the log: the lost positions, rising. Empty when nothing is lost, or when that cannot be determined.
   */
  readonly lost: readonly PositionRange[]
}

export interface TablesReport {
  readonly tables: number
  readonly bytes: number
  readonly damages: readonly TableDamage[]
  /** Tables that could not be read because of an error of the system. They do not count as damaged. */
  readonly unread: readonly { readonly file: string; readonly why: string }[]
}

const FAULTS_NAMED_MAX = 8

/**
 * Checks every block of every table of the log, the index and the checkpoints. Opens no database and changes no file.
 * @param onProgress called with the number of bytes read and the number of bytes to read; its errors are thrown
 * @param onDamaged called and awaited for each damaged table; it may replace the table (`replaceTable`)
 * @throws an error of the file system when a directory cannot be listed
 */
export async function checkTables(
  directory: string,
  onProgress?: (done: number, of: number) => void,
  onDamaged?: (database: DatabaseTables, damaged: DamagedTable) => Promise<unknown>
): Promise<TablesReport> {
  const found: { database: DatabaseTables; table: DatabaseTable; bytes: number }[] = []
  for (const name of databaseNames) {
    const database = await DatabaseTables.list(directory, name)
    for (const table of database.tables) found.push({ database, table, bytes: await sizeOf(database, table) })
  }
  const bytes = found.reduce((sum, one) => sum + one.bytes, 0)
  const damages: TableDamage[] = []
  const unread: { file: string; why: string }[] = []
  let done = 0
  for (const { database, table } of found) {
    try {
      const damaged = await database.check(table, (read) => {
        done += read
        onProgress?.(Math.min(done, bytes), bytes)
      })
      if (damaged === undefined) continue
      damages.push(damageOf(database.name, damaged))
      await onDamaged?.(database, damaged)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error
      unread.push({ file: `${database.name}/${table.name}`, why: (error as Error).message })
    }
  }
  onProgress?.(bytes, bytes)
  return { tables: found.length, bytes, damages, unread }
}

/** Returns the size of a table in bytes; 0 when its file is missing. */
export async function sizeOf({ directory }: DatabaseTables, { name, known }: DatabaseTable): Promise<number> {
  return known?.bytes ?? (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0
}

/** Returns the report of a damaged table. Names at most FAULTS_NAMED_MAX damaged parts. */
export function damageOf(database: DatabaseName, { table, faults, replacement }: DamagedTable): TableDamage {
  const texts: string[] = []
  if (faults.unreadable !== undefined) texts.push(`the ${faults.unreadable}`)
  if (faults.filter) texts.push('the filter')
  for (const { handle } of faults.blocks) texts.push(`the block at byte ${handle.offset}`)
  const more = texts.length - FAULTS_NAMED_MAX
  const named = more > 0 ? [...texts.slice(0, FAULTS_NAMED_MAX), `${more} more blocks`] : texts
  return { database, file: `${database}/${table.name}`, faults: named, lost: replacement.lost }
}

/** Returns the damage of a table and its consequence, a sentence without a full stop. */
export function describeDamage({ database, file, faults, lost }: TableDamage): string {
  const what = `${file} is damaged (${faults.join(', ')})`
  if (database === 'index') return `${what}: the index is rebuilt from the log at the next start`
  if (database === 'checkpoints') {
    return `${what}: a named consumer whose checkpoint is lost starts again where its definition says`
  }
  if (lost.length === 0) return `${what}: no event is lost`
  return `${what}: the events at positions ${rangesText(lost)} are lost, all others can be read`
}
