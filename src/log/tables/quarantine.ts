/**
 * Replaces damaged tables before LevelDB reads them: moves the file to the folder `damaged` beside the tables and puts
 * a replacement in its place. Only while no process has the database open.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { copyFile, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkTables, damageOf, type TableDamage } from './check-tables.js'
import type { DamagedTable, DatabaseTables } from './database-tables.js'
import { joined, type PositionRange } from './positions.js'
import { writeReplacement } from './replacement.js'

const ASIDE = 'damaged'

/** The content of the JSON file beside a table in `damaged`. */
interface DamageNote extends TableDamage {
  /** When the damage was found, ISO 8601, for the operator. */
  readonly found: string
}

/**
 * Replaces a damaged table. After a power cut, either the damaged table or its replacement is in place. The damaged
 * table is kept, except one of the index.
 * @param now milliseconds since 1970
 * @returns the report of the damage
 * @throws an error of the file system; the table is then unchanged
 */
export async function replaceTable(database: DatabaseTables, damaged: DamagedTable, now: number): Promise<TableDamage> {
  const { directory } = database
  const { table, replacement } = damaged
  const aside = join(directory, ASIDE)
  await mkdir(aside, { recursive: true, mode: 0o700 })
  const path = join(directory, table.name)
  const made = join(aside, `${table.name}.new`)
  const damage = damageOf(database.name, damaged)
  try {
    await writeReplacement(replacement, path, made, table.known?.bytes)
    // The index is rebuilt from the log, so its damaged tables need not be kept.
    if (database.name !== 'index') {
      const kept = unusedName(aside, table.name)
      await keep(path, join(aside, kept))
      const note: DamageNote = { ...damage, found: new Date(now).toISOString() }
      await writeSynced(join(aside, `${kept}.json`), `${JSON.stringify(note, null, 2)}\n`)
      await syncDirectory(aside)
    }
    await rename(made, path)
  } catch (error) {
    await rm(made, { force: true })
    throw error
  }
  await syncDirectory(directory)
  return damage
}

/**
 * Checks all tables of a data directory that no process has open, and replaces each damaged one.
 * @param now milliseconds since 1970
 * @returns the reports of the damaged tables
 */
export async function replaceDamagedTables(directory: string, now: number): Promise<readonly TableDamage[]> {
  const replace = (database: DatabaseTables, damaged: DamagedTable) => replaceTable(database, damaged, now)
  const { damages } = await checkTables(directory, undefined, replace)
  return damages
}

/** Returns a file name that is not in use. A table may be damaged again after it was replaced. */
function unusedName(directory: string, name: string): string {
  for (let i = 1; ; i++) {
    const free = i === 1 ? name : `${name}.${i}`
    if (!existsSync(join(directory, free))) return free
  }
}

/** Links a file under a second name. Copies it if the file system has no hard links. */
async function keep(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch {
    await copyFile(from, to)
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'w')
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes renames in a directory durable. Windows cannot open a directory and does not need this. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => undefined)
  try {
    await handle?.sync().catch(() => {})
  } finally {
    await handle?.close()
  }
}

/** Returns the reports of the tables in the folder `damaged`. @param directory of the database */
export function tablesAside(directory: string): TableDamage[] {
  const aside = join(directory, ASIDE)
  if (!existsSync(aside)) return []
  const notes = readdirSync(aside).filter((name) => name.endsWith('.json'))
  return notes.flatMap((name) => noteIn(join(aside, name)) ?? [])
}

function noteIn(path: string): TableDamage | undefined {
  try {
    const note = JSON.parse(readFileSync(path, 'utf8')) as TableDamage
    return Array.isArray(note.lost) && Array.isArray(note.faults) ? note : undefined
  } catch {
    return undefined // The file was removed meanwhile or is truncated.
  }
}

/** Returns the positions lost with the tables in the folder `damaged`, rising. @param directory of the log */
export function lostPositions(directory: string): PositionRange[] {
  return joined(tablesAside(directory).flatMap(({ lost }) => lost))
}
