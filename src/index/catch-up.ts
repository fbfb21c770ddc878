/** Bringing an index up to the log's end before the store serves. */
import type { Log } from '../log/log.js'
import { applyAll } from './apply-batch.js'
import type { Poster } from './index-entries.js'
import type { Postings } from './posting-lists.js'

/**
 * Replays the log's end into an index that is behind it: after a crash, or all of it into a new index. Then all of the
 * index is on disk. Nothing else may be applied meanwhile.
 * @param onProgress called after each batch with how many of how many events were applied; what it throws is thrown
 * @throws `log-damaged` when a record cannot be read; what a write of the index failed with
 */
export async function catchUp(
  log: Log,
  postings: Postings,
  poster: Poster,
  onProgress?: (done: number, of: number) => void
): Promise<void> {
  const from = postings.appliedTo + 1
  const chunks = from > log.head ? [] : log.scan(from, log.head)
  for await (const records of chunks) {
    await applyAll(
      postings,
      records.map((record) => poster.postingOf(record))
    )
    if (postings.congested) await postings.flush()
    onProgress?.(postings.appliedTo - from + 1, log.head - from + 1)
  }
  await postings.flush()
}
