/** Optimistic concurrency: the version that an append expects of a stream, and the check of it. */
import type { StreamState } from '../../streams/stream-state.js'

/** `any`, `no_stream` (never written, or soft-deleted), `stream_exists`, or the number of the stream's last event. */
export type ExpectedVersion = 'any' | 'no_stream' | 'stream_exists' | number

/** A condition of an append on the version of one stream. */
export interface Condition {
  readonly stream: string
  readonly expected: ExpectedVersion
}

/**
 * Returns whether the stream has the expected version. For `no_stream` and `stream_exists` a soft-deleted stream does
 * not exist; its event numbers still continue. A stream with a tombstone satisfies neither: it has ended.
 * @param head number of the stream's last event, -1 when it was never written
 */
export function holds(expected: ExpectedVersion, head: number, { metadata, tombstone }: StreamState): boolean {
  switch (expected) {
    case 'any':
      return true
    case 'no_stream':
      return (head === -1 || metadata.deleted) && !tombstone
    case 'stream_exists':
      return head >= 0 && !metadata.deleted && !tombstone
    default:
      return head === expected
  }
}
