/** The state of the index on disk: its log, the positions that it covers, its tables. */
import { type Family, FORMAT_VERSION, INDEX_STATE_KEY, openEntry, sealEntry, type Table } from '../../log/format.js'
import type { TableState } from '../hash-table/table-write.js'

export interface FamilyState {
  /** The log position that the lists of the family cover. */
  readonly goodTo: number
  /** The rule by which the lists are built, as text, if they depend on more than the records. */
  readonly rule?: string | undefined
  /**
   * How often the family was emptied. It is part of the keys in the table of lists, so that removed lists are absent.
   */
  readonly emptied?: number | undefined
}

export interface IndexState {
  readonly format: number
  /** Identity of the log. */
  readonly log: string
  /** The log position that the index covers. */
  readonly goodTo: number
  readonly families: Partial<Record<Family, FamilyState>>
  /** The number of writes of the index. */
  readonly writes: number
  readonly tables: Partial<Record<Table, TableState>>
  /** The number of lists whose names begin with a prefix, by family and prefix. */
  readonly counts: Readonly<Record<string, number>>
}

/** The settings of an index, for the index that replaces it. */
export interface IndexSettings {
  readonly format: number
  readonly kept: Family[]
  readonly rules: Partial<Record<Family, string>>
}

/** Returns the state of an empty index. */
export function emptyState(log: string): IndexState {
  return { format: FORMAT_VERSION, log, goodTo: -1, families: {}, writes: 0, tables: {}, counts: {} }
}

export function encodeState(state: IndexState): Buffer {
  return sealEntry(INDEX_STATE_KEY, Buffer.from(JSON.stringify(state)))
}

/** @throws DaybookError `index-damaged` when the checksum is wrong, also for format 1, which had no checksum */
export function decodeState(sealed: Buffer): IndexState {
  return JSON.parse(openEntry(INDEX_STATE_KEY, sealed).toString()) as IndexState
}

/**
 * Returns the kept families and rules of an index, also of an unusable one, so that the index that replaces it keeps
 * the same.
 * @returns undefined when the state cannot be read
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
