/**
 * Damaged tables are set aside before LevelDB reads them: the file goes to `damaged/`, beside its database's tables, and a
 * replacement takes its place. Only while no process has the database open.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { copyFile, link, mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { checkTables, damageOf, type TableDamage } from './check-tables.js'
import type { DamagedTable, DatabaseTables } from './database-tables.js'
import { joined, type PositionRange } from './positions.js'
import { writeReplacement } from './replacement.js'

const ASIDE = 'damaged'

/** What is noted of a table beside it. */
interface DamageNote extends TableDamage {
  /** When it was found, for people. */
  readonly found: string
}

/**
 * Puts a replacement in the place of a damaged table. A power cut leaves the one or the other.
 * @param now milliseconds since 1970
 * @returns what is to be reported
 * @throws what the file system throws; then the table is as it was
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
    // An index is made anew, so nothing of it is kept.
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
 * Checks all tables of a data directory that no process has open, and puts a replacement in the place of each that is
 * damaged.
 * @param now milliseconds since 1970
 * @returns what was damaged
 */
export async function replaceDamagedTables(directory: string, now: number): Promise<readonly TableDamage[]> {
  const replace = (database: DatabaseTables, damaged: DamagedTable) => replaceTable(database, damaged, now)
  const { damages } = await checkTables(directory, undefined, replace)
  return damages
}

/** A table may be damaged again after it was replaced. */
function unusedName(directory: string, name: string): string {
  for (let i = 1; ; i++) {
    const free = i === 1 ? name : `${name}.${i}`
    if (!existsSync(join(directory, free))) return free
  }
}

/** The file under a second name, or a copy where the file system has no such names. */
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

/** Makes what was renamed in a directory last. Windows cannot open a directory, and needs no such thing. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r').catch(() => undefined)
  try {
    await handle?.sync().catch(() => {})
  } finally {
    await handle?.close()
  }
}

/** Damaged tables that were set aside, as they were reported. @param directory of the database */
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
    return undefined // removed meanwhile, or cut short
  }
}

/** Positions that were lost with the tables that were set aside; rising. @param directory of the log */
export function lostPositions(directory: string): PositionRange[] {
  return joined(tablesAside(directory).flatMap(({ lost }) => lost))
}
