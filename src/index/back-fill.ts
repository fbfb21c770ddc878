/** Fills families of lists that are behind the others, while the store serves requests. */
import type { Log } from '../log/log.js'
import { nextTurn } from '../time/turns.js'
import { partsOf } from './apply-batch.js'
import type { Poster } from './index-entries.js'
import type { Posting } from './posting.js'
import type { Postings } from './posting-lists.js'

/**
 * Fills the families that are behind the others because they were switched on again or their rule has changed. Each is
 * filled from the position that it covers. After a restart a new call continues from there. Only one back-fill may run.
 */
export async function backFill(log: Log, postings: Postings, poster: Poster, isStopped: () => boolean): Promise<void> {
  while (postings.behind.size > 0 && !isStopped()) {
    const from = Math.min(...postings.behind.values()) + 1
    const to = postings.appliedTo
    if (from > to) {
      postings.fill([], to)
      // A large commit is being staged; its events can be filled after it is written.
      if (postings.behind.size > 0) await nextTurn()
      continue
    }
    for await (const records of log.scan(from, to)) {
      if (isStopped()) return
      const batch = records.map((record) => poster.postingOf(record))
      for (const part of partsOf(batch)) {
        for (;;) {
          const { behind } = postings
          const wanted = part.flatMap(({ lists }) => lists.filter(([kind]) => behind.has(kind)))
          const missing = wanted.filter(([kind, name]) => postings.headInMemory(kind, name) === undefined)
          if (missing.length === 0) break
          await postings.load(missing)
        }
        postings.fill(part, (part.at(-1) as Posting).position)
      }
      if (postings.congested) await postings.flush()
    }
  }
  if (!isStopped()) await postings.flush()
}
