/** The tables of a database, and the replacement of a damaged one. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type KnownTable, readManifest } from './format/manifest.js'
import { TableFile } from './format/table-file.js'
import { lastPositionUpTo, type PositionRange, positionFrom, without } from './positions.js'
import { type Replacement, replacementWith, replacementWithout } from './replacement.js'
import type { SalvageBounds } from './salvage.js'
import { checkTable, type TableFaults } from './table-check.js'

/** The databases of a data directory. Each is in a folder of that name. */
export const databaseNames = ['log', 'index', 'checkpoints'] as const
export type DatabaseName = (typeof databaseNames)[number]

export interface DatabaseTable {
  readonly number: number
  /** Name of the file. */
  readonly name: string
  /** Entry of the table in LevelDB's manifest. Undefined: the manifest cannot be read. */
  readonly known: KnownTable | undefined
}

/** A damaged table and its replacement. */
export interface DamagedTable {
  readonly table: DatabaseTable
  readonly faults: TableFaults
  readonly replacement: Replacement
}

export class DatabaseTables {
  readonly name: DatabaseName
  readonly directory: string
  /** Sorted by number. Without files that the manifest does not list. */
  readonly tables: readonly DatabaseTable[]
  readonly #lastSequence: number

  private constructor(name: DatabaseName, directory: string, tables: readonly DatabaseTable[], lastSequence: number) {
    this.name = name
    this.directory = directory
    this.tables = tables
    this.#lastSequence = lastSequence
  }

  /**
   * Returns the current tables of a database; none when its directory does not exist.
   * @param root the data directory
   * @throws an error of the file system
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
   * Checks all blocks of a table.
   * @param onRead called and awaited after each read, with the number of bytes read
   * @returns undefined when the table is undamaged
   * @throws an error of the file system; `ENOENT` when a compaction has removed the table
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
      const lost = without(replacement.lost, this.#rangesOfOtherTables(table))
      return { table, faults, replacement: { ...replacement, lost } }
    } finally {
      await file.close()
    }
  }

  #boundsOf({ known }: DatabaseTable): SalvageBounds | undefined {
    return known && { range: rangeOf(known), lastSequence: this.#lastSequence }
  }

  /**
   * Returns the positions that other tables contain. Only for the table with the log meta: its key range begins with
   * the meta and may span the ranges of other tables. Empty for any other table.
   */
  #rangesOfOtherTables({ number, known }: DatabaseTable): PositionRange[] {
    if (known === undefined || !holdsMeta(known)) return []
    return this.tables.flatMap((other) =>
      other.number === number || other.known === undefined || holdsMeta(other.known) ? [] : [rangeOf(other.known)]
    )
  }
}

function rangeOf({ first, last }: KnownTable): PositionRange {
  return { first: positionFrom(first), last: lastPositionUpTo(last) }
}

/** True when the table contains the log meta, the only key shorter than that of a record. */
function holdsMeta({ first }: KnownTable): boolean {
  return first.length < 16
}
