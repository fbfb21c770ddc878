/** Whether an index agrees with the log: checked at each start, since a stale head would number two events alike. */
import { limits } from '../../limits.js'
import { family } from '../../log/format.js'
import type { Log } from '../../log/log.js'
import type { ListHeads } from './list-heads.js'
import type { ListPositions } from './list-positions.js'

/**
 * Looks at the last events that an index claims to cover: each must be where the stream's list says.
 * @param goodTo the log position that the index covers
 * @throws `index-damaged`
 */
export async function agreesWithLog(
  log: Log,
  goodTo: number,
  heads: ListHeads,
  positions: ListPositions
): Promise<boolean> {
  if (goodTo < 0) return true
  const from = Math.max(0, goodTo - limits.index_checked_events + 1)
  // Without the records: they may be large.
  const last = new Map<string, { readonly number: number; readonly position: number }>()
  // A damaged record says nothing here; it is found out when it is read.
  const damaged = new Set<number>()
  for await (const { position, record } of log.inspect(from)) {
    if (record === undefined) damaged.add(position)
    else if (position <= goodTo) last.set(record.stream, { number: record.number, position })
  }
  await heads.load([...last.keys()].map((stream) => [family.stream, stream] as const))
  for (const [stream, record] of last) {
    const head = heads.inMemory(family.stream, stream)
    if (!head || head.count <= record.number) return false
    // The last events of the stream may be damaged; the index knows where they stand.
    if (head.count > record.number + 1) {
      const end = await positions.one(family.stream, head, head.count - 1)
      if (!damaged.has(end)) return false
    }
    if ((await positions.one(family.stream, head, record.number)) !== record.position) return false
  }
  return true
}
