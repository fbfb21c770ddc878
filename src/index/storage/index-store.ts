/** The index as it stands on disk: its database, its state, the table of lists and the table of ids. */
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

/** The parts of an index as they were read from the disk. */
interface OpenedIndex {
  readonly level: Level
  readonly state: IndexState
  readonly lists: HashTable
  readonly ids: HashTable
}

export class IndexStore {
  readonly level: Level
  /** Every list with the version of its head: a list that is not here does not exist. */
  readonly lists: HashTable
  /** The positions of events whose ids do not name them. */
  readonly ids: HashTable
  readonly damage: DamageMarker
  /** Positions whose events an operator has given up. */
  readonly unreadable: PositionRanges
  /** The state on disk. It also names families that are not kept now. */
  state: IndexState

  /** @param log an index that was made of an ancestor goes on under its identity */
  constructor({ level, state, lists, ids }: OpenedIndex, log: Log, damage: DamageMarker) {
    this.level = level
    this.lists = lists
    this.ids = ids
    this.damage = damage
    this.unreadable = log.unreadable
    this.state = { ...state, log: log.id }
  }

  /** The key of a list in the table of lists. */
  hashOf(kind: Family, name: string): KeyHash {
    return this.lists.hashOf(`${kind}${this.state.families[kind]?.emptied ?? ''}:${name}`)
  }

  /** Replaces what the state says of a family, in memory. */
  setFamily(kind: Family, family: FamilyState): void {
    this.state = { ...this.state, families: { ...this.state.families, [kind]: family } }
  }
}

/** The directory of an index. @param directory the data directory */
export function indexDirectory(directory: string): string {
  return join(directory, 'index')
}

/** @throws `directory-in-use`, `directory-unusable` */
export function openIndexLevel(
  directory: string,
  compression: boolean,
  caches: CacheSizes = usualCacheSizes
): Promise<Level> {
  const options: LevelOptions = { writeBufferSize: caches.memtable, cacheSize: caches.indexBlocks, compression }
  return Level.open(directory, options)
}

/**
 * The families and rules of an index that cannot serve, for the index that is made in its place.
 * @param directory the data directory
 * @returns undefined when that cannot be known
 * @throws `directory-in-use`, `directory-unusable` when it could not be read and nothing shows that it is damaged
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

/** @throws `index-damaged` when there is a state and it is not what was written, or there is none and should be */
export async function readState(level: Level, log: string): Promise<IndexState> {
  const stored = await level.get(INDEX_STATE_KEY)
  if (stored !== undefined) return decodeState(stored)
  if (await hasEntries(level)) throw new DaybookError('index-damaged', 'The index is damaged: its state is missing.')
  return emptyState(log)
}

/** @throws `index-damaged` when its tables cannot be read, or when it is of another log or format */
export async function openTables(level: Level, state: IndexState, log: Log): Promise<OpenedIndex> {
  if (!isOfThisLog(state, log)) {
    throw new DaybookError('index-damaged', 'The index belongs to another log, or has another format.')
  }
  const lists = await HashTable.open(level, table.lists, state.tables[table.lists])
  const ids = await HashTable.open(level, table.ids, state.tables[table.ids])
  return { level, state, lists, ids }
}

/** True when an index was made of this log, or of an ancestor and covers nothing that this log has lost. */
function isOfThisLog({ format, log: id, goodTo }: IndexState, log: Log): boolean {
  return format === FORMAT_VERSION && goodTo <= (log.validUpTo(id) ?? -Infinity)
}

async function hasEntries(level: Level): Promise<boolean> {
  for await (const _ of level.entries({ limit: 1 })) return true
  return false
}
