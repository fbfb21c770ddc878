/** Bringing an index up to the log's end before the store serves. */
import type { StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { applyAll } from './apply-batch.js'
import type { Poster } from './index-entries.js'
import type { Postings } from './posting-lists.js'

/**
 * Replays the log's end into an index that is behind it: after a crash, or all of it into a new index. Then all of the
 * index is on disk. Nothing else may be applied meanwhile.
 * @param onProgress called after each batch with how many of how many events were applied; what it throws is thrown
 * @throws `log-damaged` when a record cannot be read and was not given up; what a write of the index failed with
 */
export async function catchUp(
  log: Log,
  postings: Postings,
  poster: Poster,
  onProgress?: (done: number, of: number) => void
): Promise<void> {
  const from = postings.appliedTo + 1
  const { head } = log
  const apply = async (records: readonly StoredRecord[]) => {
    await applyAll(
      postings,
      records.map((record) => poster.postingOf(record))
    )
    if (postings.congested) await postings.flush()
    onProgress?.(postings.appliedTo - from + 1, head - from + 1)
  }
  const givenUp = log.unreadable.ranges.filter(([first, last]) => last >= from && first <= head)
  for (const [first, last] of [...givenUp, [head + 1, head] as const]) {
    const next = postings.appliedTo + 1
    if (next < first) for await (const records of log.scan(next, first - 1)) await apply(records)
    for await (const { position, record } of log.inspect(postings.appliedTo + 1, Math.min(last, head))) {
      if (record === undefined) postings.passOver(position)
      else await apply([record])
    }
  }
  await postings.flush()
}
