/** What plans of writes are tested with: snapshots of logs that hold little. */
import { readSettings } from '../../src/access/permissions.js'
import type { CommitSnapshot } from '../../src/writing/plan/commit-snapshot.js'

/** A log of 100 events, in which each of these streams was never written unless `counts` says how many events it has. */
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
