/** Optimistic concurrency: what an append expects of a stream, and whether it holds. */
import type { StreamState } from '../../streams/stream-state.js'

/** `any`, `no_stream` (there is nothing to see), `stream_exists`, or the number of the stream's last event. */
export type ExpectedVersion = 'any' | 'no_stream' | 'stream_exists' | number

/** One condition of an append. */
export interface Condition {
  readonly stream: string
  readonly expected: ExpectedVersion
}

/**
 * A soft-deleted stream counts as one that does not exist; its numbers go on nevertheless.
 * @param head number of the stream's last event, -1 when it was never written
 */
export function holds(expected: ExpectedVersion, head: number, { metadata }: StreamState): boolean {
  switch (expected) {
    case 'any':
      return true
    case 'no_stream':
      return head === -1 || metadata.deleted
    case 'stream_exists':
      return head >= 0 && !metadata.deleted
    default:
      return head === expected
  }
}
