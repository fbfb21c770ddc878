/** Whether a list holds anything for a viewer. */
import type { Viewer } from '../access/viewer.js'
import type { Postings } from '../index/posting-lists.js'
import { limits } from '../limits.js'
import type { Family, ListHead } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { Source } from './source.js'
import { walkList } from './walk.js'

/** Records that are examined at once. */
const FIRST_LOOK = 64

/**
 * Examines at most `scan_events_max` records from the end, where most viewers find one at once. A longer list counts as
 * one that holds something for the viewer: revealing a name is better than hiding readable events.
 */
export async function listsAnyFor(
  { log, postings }: { readonly log: Log; readonly postings: Postings },
  { kind, list, head }: Source,
  viewer: Viewer
): Promise<boolean> {
  if (viewer.seesAllUserStreams) return true
  const range = { first: 0, last: head }
  const walk = { kind: kind as Family, head: list as ListHead, range, order: 'desc', chunk: FIRST_LOOK } as const
  let left = limits.scan_events_max
  for await (const records of log.readAhead(walkList(postings, walk), { wanted: 1 })) {
    left -= records.length
    if (left < 0 || (await viewer.visible(records)).length > 0) return true
  }
  return false
}
