/** What is known of a stream beside its events: its metadata, and whether it was deleted for ever. Pure. */
import type { StoredRecord } from '../log/format.js'
import { NO_METADATA, readMetadata, type StreamMetadata } from './metadata.js'

export interface StreamState {
  readonly metadata: StreamMetadata
  /** The document that says so, when it is JSON. */
  readonly document: Buffer | undefined
  /** Number of the metadata event in the metastream, -1 when there is none. */
  readonly version: number
  /** Hard-deleted, for ever. */
  readonly tombstone: boolean
}

/** The state of a stream that has neither metadata nor a tombstone. */
export const PLAIN_STATE: StreamState = { metadata: NO_METADATA, document: undefined, version: -1, tombstone: false }

/** The state that a metadata event gives a stream. */
export function withMetadata(state: StreamState, record: StoredRecord, number: number): StreamState {
  const { document } = record
  return { ...state, document, version: number, metadata: readMetadata(document) }
}

/** The lowest number that a metadata event leaves of its stream; a soft delete leaves none. */
export function truncationOf(record: StoredRecord): number {
  return withMetadata(PLAIN_STATE, record, record.number).metadata.truncateBefore ?? 0
}
