/** The state of a stream beside its events: its metadata and its tombstone. Pure. */
import type { StoredRecord } from '../log/format.js'
import { NO_METADATA, readMetadata, type StreamMetadata } from './metadata.js'

export interface StreamState {
  readonly metadata: StreamMetadata
  /** The metadata document, if it is JSON. */
  readonly document: Buffer | undefined
  /** Number of the metadata event in the metastream, -1 when there is none. */
  readonly version: number
  /** True: the stream was deleted permanently. */
  readonly tombstone: boolean
}

/** The state of a stream without metadata and tombstone. */
export const PLAIN_STATE: StreamState = { metadata: NO_METADATA, document: undefined, version: -1, tombstone: false }

/** Returns the state of a stream after a metadata event. */
export function withMetadata(state: StreamState, record: StoredRecord, number: number): StreamState {
  const { document } = record
  return { ...state, document, version: number, metadata: readMetadata(document) }
}

/**
 * Returns the `truncateBefore` of a metadata event, 0 when it has none; after a soft delete every event is below it.
 */
export function truncationOf(record: StoredRecord): number {
  return withMetadata(PLAIN_STATE, record, record.number).metadata.truncateBefore ?? 0
}
