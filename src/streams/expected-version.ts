/** Optimistic concurrency: what an append expects of a stream, and whether it holds. */

/** `any`, `no_stream` (never written), `stream_exists`, or the number of the stream's last event. */
export type ExpectedVersion = 'any' | 'no_stream' | 'stream_exists' | number

/** One condition of an append. */
export interface Condition {
  readonly stream: string
  readonly expected: ExpectedVersion
}

/** @param head number of the stream's last event, -1 when it was never written */
export function holds(expected: ExpectedVersion, head: number): boolean {
  switch (expected) {
    case 'any':
      return true
    case 'no_stream':
      return head === -1
    case 'stream_exists':
      return head >= 0
    default:
      return head === expected
  }
}
