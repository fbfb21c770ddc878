/** What the index must know of a record; and bringing an index up to the log's end by reading that. */
import { type Family, family, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { Posting, Postings } from '../log/postings.js'
import { categoryOf, isSystemStream } from './names.js'

/** The lists a record belongs to, among the kept ones. System streams are in no category and in no type's list. */
export function postingOf(record: StoredRecord, keeps: (kind: Family) => boolean): Posting {
  const stream = record.stream
  return {
    position: record.position,
    stream,
    category: keeps(family.category) ? categoryOf(stream) : undefined,
    type: keeps(family.type) && !isSystemStream(stream) && !record.removed ? record.type : undefined,
    created: record.created,
    id: record.clientId ? record.id : undefined,
    number: record.number
  }
}

export type PostingLists = [Family, string][][]

/** The lists that a posting extends. */
export function listsOf(posting: Posting): [Family, string][] {
  const lists: [Family, string][] = [[family.stream, posting.stream]]
  if (posting.category !== undefined) lists.push([family.category, posting.category])
  if (posting.type !== undefined) lists.push([family.type, posting.type])
  return lists
}

/**
 * Replays the log's end into an index that is behind it: after a crash, or all of it into a new index.
 * @throws `log-damaged` when a record cannot be read
 */
export async function catchUp(
  log: Log,
  postings: Postings,
  onProgress?: (done: number, of: number) => void
): Promise<void> {
  const from = postings.appliedTo + 1
  if (from > log.head) return
  const keeps = (kind: Family) => postings.keeps(kind)
  for await (const records of log.scan(from, log.head)) {
    const batch = records.map((record) => postingOf(record, keeps))
    await postings.load(batch.flatMap(listsOf))
    postings.apply(batch)
    if (postings.congested) await postings.flush()
    onProgress?.(postings.appliedTo - from + 1, log.head - from + 1)
  }
  await postings.flush()
}
