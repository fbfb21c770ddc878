/** The state of the index on disk: the log it belongs to, the positions it covers, its tables. */
import { type Family, FORMAT_VERSION, INDEX_STATE_KEY, openEntry, sealEntry, type Table } from '../../log/format.js'
import type { TableState } from '../hash-table/table-write.js'

export interface FamilyState {
  /** The log position that its lists cover. */
  readonly goodTo: number
  /** The rule that its lists are made by, as text, where the records alone do not decide. */
  readonly rule?: string | undefined
  /** How often all its lists were removed. Names in the table of lists hold it, so that removed lists count as absent. */
  readonly emptied?: number | undefined
}

export interface IndexState {
  readonly format: number
  /** Identity of the log. */
  readonly log: string
  /** The log position that all of it covers. */
  readonly goodTo: number
  readonly families: Partial<Record<Family, FamilyState>>
  /** How often the index was written. */
  readonly writes: number
  readonly tables: Partial<Record<Table, TableState>>
  /** How many lists there are whose names begin with a prefix, by family and prefix. */
  readonly counts: Readonly<Record<string, number>>
}

/** What an index keeps, for the index that is made in its place. */
export interface IndexSettings {
  readonly format: number
  /** The families of lists that it keeps. */
  readonly kept: Family[]
  readonly rules: Partial<Record<Family, string>>
}

/** The state of an index that holds nothing. */
export function emptyState(log: string): IndexState {
  return { format: FORMAT_VERSION, log, goodTo: -1, families: {}, writes: 0, tables: {}, counts: {} }
}

export function encodeState(state: IndexState): Buffer {
  return sealEntry(INDEX_STATE_KEY, Buffer.from(JSON.stringify(state)))
}

/** @throws `index-damaged` when it is not what was written, or of the first format, which had no checksum */
export function decodeState(sealed: Buffer): IndexState {
  return JSON.parse(openEntry(INDEX_STATE_KEY, sealed).toString()) as IndexState
}

/**
 * The families that an index keeps, and the rules that they were made by. Also reads the state of an index that cannot
 * serve, so that the index that is made in its place keeps the same.
 * @returns undefined when nothing can be known
 */
export function indexSettingsOf(sealed: Buffer): IndexSettings | undefined {
  let state: { format: number; families?: Partial<Record<Family, FamilyState>> | Family[] }
  try {
    state = decodeState(sealed)
  } catch {
    try {
      state = JSON.parse(sealed.toString()) // format 1
    } catch {
      return undefined
    }
  }
  const { format, families: known = {} } = state
  if (Array.isArray(known)) return { format, kept: known, rules: {} }
  const rules = Object.entries(known).flatMap(([kind, { rule }]) => (rule ? [[kind, rule]] : []))
  return { format, kept: Object.keys(known) as Family[], rules: Object.fromEntries(rules) }
}
