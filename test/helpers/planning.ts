/** For tests of write plans: snapshots of small logs. */
import { readSettings } from '../../src/access/permissions.js'
import type { CommitSnapshot } from '../../src/writing/plan/commit-snapshot.js'

/**
 * Returns a snapshot of a log with 100 events. Each of these streams is unwritten, unless `counts` has its number of
 * events.
 */
export function snapshotOf(streams: readonly string[], counts: Record<string, number> = {}): CommitSnapshot {
  const heads = streams.map((stream) => [stream, null] as const)
  const written = Object.entries(counts).map(([stream, count]) => [stream, { count }] as const)
  return {
    next: 100,
    lastCreated: 0,
    heads: new Map<string, { count: number } | null>([...heads, ...written]),
    states: new Map(),
    settings: readSettings(undefined, false),
    matches: new Map(),
    known: new Map(),
    reservedIds: new Set(),
    accounts: new Map(),
    tokens: new Map()
  }
}
