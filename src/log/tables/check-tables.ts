/** The check of all tables of a data directory that no process has open. */
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
  /** Below the data directory: `log/000123.ldb`. */
  readonly file: string
  /** What is wrong, a phrase each: `the block at byte 81920`, `the index`. */
  readonly faults: readonly string[]
  /** Of the log: positions that cannot be read, rising. Empty when nothing is lost, or when it cannot be known. */
  readonly lost: readonly PositionRange[]
}

export interface TablesReport {
  readonly tables: number
  readonly bytes: number
  readonly damages: readonly TableDamage[]
  /** Tables that could not be read, with the reason: they are not counted as damaged. */
  readonly unread: readonly { readonly file: string; readonly why: string }[]
}

const FAULTS_NAMED_MAX = 8

/**
 * Reads every table of the log, the index and the checkpoints, and checks every block. Opens no database, changes nothing.
 * @param onProgress called with how many of how many bytes were read; what it throws is thrown
 * @param onDamaged called for each damaged table, and waited for; it may replace the table (`replaceTable`)
 * @throws what the file system throws when a directory cannot be listed
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

/** Bytes of a table; 0 when it is not there. */
export async function sizeOf({ directory }: DatabaseTables, { name, known }: DatabaseTable): Promise<number> {
  return known?.bytes ?? (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0
}

/** A damaged table as it is reported. */
export function damageOf(database: DatabaseName, { table, faults, replacement }: DamagedTable): TableDamage {
  const texts: string[] = []
  if (faults.unreadable !== undefined) texts.push(`the ${faults.unreadable}`)
  if (faults.filter) texts.push('the filter')
  for (const { handle } of faults.blocks) texts.push(`the block at byte ${handle.offset}`)
  const more = texts.length - FAULTS_NAMED_MAX
  const named = more > 0 ? [...texts.slice(0, FAULTS_NAMED_MAX), `${more} more blocks`] : texts
  return { database, file: `${database}/${table.name}`, faults: named, lost: replacement.lost }
}

/** What is wrong with a table and what that means, in a sentence without a full stop. */
export function describeDamage({ database, file, faults, lost }: TableDamage): string {
  const what = `${file} is damaged (${faults.join(', ')})`
  if (database === 'index') return `${what}: the index is made anew from the log at the next start`
  if (database === 'checkpoints') {
    return `${what}: a named consumer whose place is lost begins again where its definition says`
  }
  if (lost.length === 0) return `${what}: no event is lost`
  return `${what}: the events at positions ${rangesText(lost)} are lost, all others can be read`
}
