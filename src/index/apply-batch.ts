/** Applies records to the index in batches: first loads the heads of the lists that they extend into memory. */
import { limits } from '../limits.js'
import { nextTurn } from '../time/turns.js'
import type { ListName, Posting } from './posting.js'
import type { Postings } from './posting-lists.js'
import type { Staging } from './postings/staging.js'

/** Returns the lists of these postings that follow the log and whose heads are not in memory. */
function missingLists(postings: Postings, batch: readonly Posting[]): ListName[] {
  const missing: ListName[] = []
  let last: readonly ListName[] | undefined
  for (const { lists } of batch) {
    if (lists === last) continue // most events belong to the same lists as the one before
    last = lists
    for (const list of lists) {
      if (postings.isCurrent(list[0]) && postings.headInMemory(list[0], list[1]) === undefined) missing.push(list)
    }
  }
  return missing
}

/**
 * Loads the heads and id pages that the records of a commit need, before it is written. Damage in the index must be
 * found while the commit can still be refused.
 * @returns undefined when there is nothing to load
 * @throws DaybookError `index-damaged`
 */
export function loadAll(postings: Postings, batch: readonly Posting[]): Promise<void> | undefined {
  const missing = missingLists(postings, batch)
  const ids = postings.readNewIdPages(batch)
  return missing.length === 0 && ids === undefined ? undefined : loadParts(postings, missing, ids)
}

async function loadParts(
  postings: Postings,
  lists: readonly ListName[],
  ids: Promise<unknown> | undefined
): Promise<void> {
  await ids
  for (let at = 0; at < lists.length; at += limits.heads_loaded_max) {
    await postings.load(lists.slice(at, at + limits.heads_loaded_max))
  }
}

/**
 * Applies committed records to the index. Each part is applied in the same turn in which no head was missing: while
 * heads are loaded, other heads may be evicted, and a family that is being filled may begin to follow the log.
 */
export async function applyAll(postings: Postings, batch: readonly Posting[]): Promise<void> {
  for (const part of partsOf(batch)) {
    for (;;) {
      const missing = missingLists(postings, part)
      if (missing.length === 0) break
      await postings.load(missing)
    }
    postings.apply(part)
  }
}

/** A commit that extends more lists than this is staged in parts. */
export const STAGED_LISTS = 4096
/** Lists to stage before yielding to the event loop. */
const LISTS_AT_ONCE = 1000

/**
 * Stages the index changes of a large commit, while it can still be refused. It yields to the event loop between parts;
 * readers do not see the staged changes.
 * @param batch consumed one by one, so it may be a generator
 * @throws DaybookError `index-damaged`
 */
export async function stageAll(staging: Staging, batch: Iterable<Posting>): Promise<void> {
  staging.begin()
  let part: Posting[] = []
  let lists = 0
  for (const posting of batch) {
    part.push(posting)
    lists += posting.lists.length
    if (lists < LISTS_AT_ONCE) continue
    await staging.add(part)
    await nextTurn()
    part = []
    lists = 0
  }
  await staging.add(part)
}

/** Divides postings into parts whose list heads fit into memory together. */
export function* partsOf(batch: readonly Posting[]): Generator<readonly Posting[]> {
  let from = 0
  let lists = 0
  for (let i = 0; i < batch.length; i++) {
    lists += (batch[i] as Posting).lists.length
    if (lists < limits.heads_loaded_max) continue
    yield batch.slice(from, i + 1)
    from = i + 1
    lists = 0
  }
  if (from < batch.length) yield from === 0 ? batch : batch.slice(from)
}
