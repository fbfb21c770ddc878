/** What the index says of itself: which log it belongs to, how far it covers it, and what its tables are. */
import { type Family, FORMAT_VERSION, INDEX_STATE_KEY, openEntry, sealEntry, type Table } from './format.js'
import type { TableState } from './hash-table.js'

export interface FamilyState {
  /** The log position that its lists cover. */
  readonly goodTo: number
  /** What decides its lists beside the records, as text. */
  readonly rule?: string | undefined
  /** How often its lists were all removed: those that were there before are not in the table any more. */
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
 * The families that an index keeps, and the rules that they were made by, also of one that cannot serve: the one that
 * is made in its place keeps them too.
 * @returns undefined when nothing can be known
 */
export function settingsOf(
  sealed: Buffer
): { format: number; kept: Family[]; rules: Partial<Record<Family, string>> } | undefined {
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
