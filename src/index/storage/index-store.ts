/** The index on disk: its database, its state, the table of lists and the table of ids. */
import { join } from 'node:path'
import { DaybookError } from '../../errors.js'
import { type Family, FORMAT_VERSION, INDEX_STATE_KEY, table } from '../../log/format.js'
import { Level, type LevelOptions } from '../../log/level.js'
import type { Log } from '../../log/log.js'
import type { PositionRanges } from '../../log/position-ranges.js'
import { isDatabaseDamaged, openFailure } from '../../log/storage-faults.js'
import { type CacheSizes, usualCacheSizes } from '../../memory/cache-sizes.js'
import { HashTable } from '../hash-table/hash-table.js'
import type { KeyHash } from '../hash-table/page-numbers.js'
import type { DamageMarker } from './damage-marker.js'
import {
  decodeState,
  emptyState,
  type FamilyState,
  type IndexSettings,
  type IndexState,
  indexSettingsOf
} from './index-state.js'

/** The parts of an index that was opened. */
interface OpenedIndex {
  readonly level: Level
  readonly state: IndexState
  readonly lists: HashTable
  readonly ids: HashTable
}

export class IndexStore {
  readonly level: Level
  /** The version of every list's head. A list that is not in this table does not exist. */
  readonly lists: HashTable
  /** The positions of events whose ids do not encode them. */
  readonly ids: HashTable
  readonly damage: DamageMarker
  /** Unreadable positions that the operator has given up. */
  readonly unreadable: PositionRanges
  /** The state on disk. It may include families that are not kept now. */
  state: IndexState

  /** @param log gives the index its identity; the index may have been built from an ancestor of this log */
  constructor({ level, state, lists, ids }: OpenedIndex, log: Log, damage: DamageMarker) {
    this.level = level
    this.lists = lists
    this.ids = ids
    this.damage = damage
    this.unreadable = log.unreadable
    this.state = { ...state, log: log.id }
  }

  /** Returns the key of a list in the table of lists. */
  hashOf(kind: Family, name: string): KeyHash {
    return this.lists.hashOf(`${kind}${this.state.families[kind]?.emptied ?? ''}:${name}`)
  }

  /** Replaces the state of a family, in memory. */
  setFamily(kind: Family, family: FamilyState): void {
    this.state = { ...this.state, families: { ...this.state.families, [kind]: family } }
  }
}

/** Returns the directory of the index. @param directory the data directory */
export function indexDirectory(directory: string): string {
  return join(directory, 'index')
}

/** Opens the database of an index. @throws DaybookError `directory-in-use`, `directory-unusable` */
export function openIndexLevel(
  directory: string,
  compression: boolean,
  caches: CacheSizes = usualCacheSizes
): Promise<Level> {
  const options: LevelOptions = { writeBufferSize: caches.memtable, cacheSize: caches.indexBlocks, compression }
  return Level.open(directory, options)
}

/**
 * Reads the families and rules of an unusable index, for the index that replaces it.
 * @param directory the data directory
 * @returns undefined when there is no state, or it cannot be read because of damage
 * @throws DaybookError `directory-in-use`; `directory-unusable` when reading fails for a reason other than damage
 */
export async function readIndexSettings(directory: string, compression: boolean): Promise<IndexSettings | undefined> {
  let level: Level | undefined
  try {
    level = await openIndexLevel(indexDirectory(directory), compression)
    const sealed = await level.get(INDEX_STATE_KEY)
    return sealed && indexSettingsOf(sealed)
  } catch (error) {
    if (isDatabaseDamaged(error)) return undefined
    throw openFailure('the index', error)
  } finally {
    await level?.close()
  }
}

/**
 * Reads the state of an index; an empty state when the database is empty.
 * @throws DaybookError `index-damaged` when the state is damaged, or is missing although the index has entries
 */
export async function readState(level: Level, log: string): Promise<IndexState> {
  const stored = await level.get(INDEX_STATE_KEY)
  if (stored !== undefined) return decodeState(stored)
  if (await hasEntries(level)) throw new DaybookError('index-damaged', 'The index is damaged: its state is missing.')
  return emptyState(log)
}

/**
 * Opens the tables of an index.
 * @throws DaybookError `index-damaged` when they cannot be read, or when the index is of another log or format
 */
export async function openTables(level: Level, state: IndexState, log: Log): Promise<OpenedIndex> {
  if (!isOfThisLog(state, log)) {
    throw new DaybookError('index-damaged', 'The index belongs to another log, or has another format.')
  }
  const lists = await HashTable.open(level, table.lists, state.tables[table.lists])
  const ids = await HashTable.open(level, table.ids, state.tables[table.ids])
  return { level, state, lists, ids }
}

/**
 * Returns true when an index was built from this log, or from an ancestor and covers no positions that this log lost.
 */
function isOfThisLog({ format, log: id, goodTo }: IndexState, log: Log): boolean {
  return format === FORMAT_VERSION && goodTo <= (log.validUpTo(id) ?? -Infinity)
}

async function hasEntries(level: Level): Promise<boolean> {
  for await (const _ of level.entries({ limit: 1 })) return true
  return false
}
