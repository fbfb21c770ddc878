/** The tables of a database, and what may be done when one of them is damaged. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type KnownTable, readManifest } from './format/manifest.js'
import { TableFile } from './format/table-file.js'
import { lastPositionUpTo, type PositionRange, positionFrom, without } from './positions.js'
import { type Replacement, replacementWith, replacementWithout } from './replacement.js'
import type { SalvageBounds } from './salvage.js'
import { checkTable, type TableFaults } from './table-check.js'

/** The databases of a data directory, each in a directory of its name. */
export const databaseNames = ['log', 'index', 'checkpoints'] as const
export type DatabaseName = (typeof databaseNames)[number]

export interface DatabaseTable {
  readonly number: number
  /** Name of the file. */
  readonly name: string
  /** Undefined: the database's own list of tables cannot be read. */
  readonly known: KnownTable | undefined
}

/** A damaged table, and what can stand in its place. */
export interface DamagedTable {
  readonly table: DatabaseTable
  readonly faults: TableFaults
  readonly replacement: Replacement
}

export class DatabaseTables {
  readonly name: DatabaseName
  readonly directory: string
  /** By number. Files that the database does not count among its tables are left out. */
  readonly tables: readonly DatabaseTable[]
  readonly #lastSequence: number

  private constructor(name: DatabaseName, directory: string, tables: readonly DatabaseTable[], lastSequence: number) {
    this.name = name
    this.directory = directory
    this.tables = tables
    this.#lastSequence = lastSequence
  }

  /**
   * The tables of a database as they are now. @param root the data directory
   * @throws what the file system throws, other than for a directory that is not there
   */
  static async list(root: string, name: DatabaseName): Promise<DatabaseTables> {
    const directory = join(root, name)
    const manifest = await readManifest(directory)
    const files = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    const tables: DatabaseTable[] = []
    for (const file of files) {
      const number = Number(/^(\d+)\.(ldb|sst)$/.exec(file)?.[1] ?? Number.NaN)
      const known = manifest?.tables.get(number)
      if (Number.isNaN(number) || (manifest !== undefined && known === undefined)) continue
      tables.push({ number, name: file, known })
    }
    tables.sort((a, b) => a.number - b.number)
    return new DatabaseTables(name, directory, tables, manifest?.lastSequence ?? 0)
  }

  /**
   * Checks a table.
   * @param onRead told how many bytes were read since it was last told, and waited for
   * @returns undefined when nothing is wrong
   * @throws what the file system throws: `ENOENT` when a compaction has removed it
   */
  async check(
    table: DatabaseTable,
    onRead: (bytes: number) => Promise<void> | void
  ): Promise<DamagedTable | undefined> {
    const file = await TableFile.open(join(this.directory, table.name), table.known?.bytes)
    try {
      const faults = await checkTable(file, onRead)
      if (faults === undefined) return undefined
      const isLog = this.name === 'log'
      const replacement = isLog
        ? await replacementWith(file, faults, this.#boundsOf(table))
        : replacementWithout(faults)
      return { table, faults, replacement: { ...replacement, lost: without(replacement.lost, this.#elsewhere(table)) } }
    } finally {
      await file.close()
    }
  }

  #boundsOf({ known }: DatabaseTable): SalvageBounds | undefined {
    return known && { range: rangeOf(known), lastSequence: this.#lastSequence }
  }

  /** Positions that stand in other tables: the range of the table that holds the meta reaches over them. */
  #elsewhere({ number, known }: DatabaseTable): PositionRange[] {
    if (known === undefined || !holdsMeta(known)) return []
    return this.tables.flatMap((other) =>
      other.number === number || other.known === undefined || holdsMeta(other.known) ? [] : [rangeOf(other.known)]
    )
  }
}

function rangeOf({ first, last }: KnownTable): PositionRange {
  return { first: positionFrom(first), last: lastPositionUpTo(last) }
}

/** The meta's key is shorter than a record's. */
function holdsMeta({ first }: KnownTable): boolean {
  return first.length < 16
}
