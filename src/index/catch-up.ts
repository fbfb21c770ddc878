/** Brings an index up to the head of the log before the store serves requests. */
import type { StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { applyAll } from './apply-batch.js'
import type { Poster } from './index-entries.js'
import type { Postings } from './posting-lists.js'

/**
 * Replays the part of the log that the index does not cover: its end after a crash, or all of it into a new index. When
 * it resolves, the index is on disk. Nothing else may be applied meanwhile.
 * @param onProgress called after each batch with the events applied so far and their total; its errors are passed on
 * @throws DaybookError `log-damaged` when a record cannot be read and the operator has not given it up
 * @throws the error of a failed write of the index
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
      if (record === undefined) postings.skip(position)
      else await apply([record])
    }
  }
  await postings.flush()
}
