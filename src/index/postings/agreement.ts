/** Checks at each start that the index agrees with the log: a stale head would give two events the same number. */
import { limits } from '../../limits.js'
import { family } from '../../log/format.js'
import type { Log } from '../../log/log.js'
import type { ListHeads } from './list-heads.js'
import type { ListPositions } from './list-positions.js'

/**
 * Compares the last `index_checked_events` events that an index covers with the lists of their streams.
 * @param goodTo the log position that the index covers
 * @returns false when a list does not have the last of these events of its stream at its number, or has further events
 * @throws DaybookError `index-damaged`
 */
export async function agreesWithLog(
  log: Log,
  goodTo: number,
  heads: ListHeads,
  positions: ListPositions
): Promise<boolean> {
  if (goodTo < 0) return true
  const from = Math.max(0, goodTo - limits.index_checked_events + 1)
  // Keep no records in memory: they may be large.
  const last = new Map<string, { readonly number: number; readonly position: number }>()
  // A damaged record cannot be compared. Its damage is reported when it is read.
  const damaged = new Set<number>()
  for await (const { position, record } of log.inspect(from)) {
    if (record === undefined) damaged.add(position)
    else if (position <= goodTo) last.set(record.stream, { number: record.number, position })
  }
  await heads.load([...last.keys()].map((stream) => [family.stream, stream] as const))
  for (const [stream, record] of last) {
    const head = heads.inMemory(family.stream, stream)
    if (!head || head.count <= record.number) return false
    // The last events of the stream may be damaged records. Then the index has their positions.
    if (head.count > record.number + 1) {
      const end = await positions.one(family.stream, head, head.count - 1)
      if (!damaged.has(end)) return false
    }
    if ((await positions.one(family.stream, head, record.number)) !== record.position) return false
  }
  return true
}
