/** What the index must know of a record; and bringing an index up to the log's end by reading that. */
import { LRUCache } from 'lru-cache'
import { limits } from '../limits.js'
import { type Family, family, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import { LINK_TYPE } from '../streams/links.js'
import { METADATA_TYPE, readMetadata } from '../streams/metadata.js'
import {
  type CategoryRule,
  categoryOf,
  faultOfName,
  isMetastream,
  isSystemStream,
  originalOf
} from '../streams/names.js'
import type { ListName, Posting, Postings } from './posting-lists.js'

/** The type under which deletions are listed (reference 19). */
const DELETED = '$deleted'
const CORRELATION_KEY = '"$correlationId"'

/**
 * Says which lists a record belongs to, whatever families are kept. It depends on nothing but the record and the
 * category rule, so that an index made anew is the same as one that grew.
 */
export class Poster {
  readonly rule: CategoryRule
  readonly #log: Pick<Log, 'madeIdOf'>
  /** Most events of a stream belong to the same lists as the one before. */
  #last: { stream: string; type: string; lists: readonly ListName[] } | undefined
  readonly #categories = new LRUCache<string, ListName>({ max: 1000 })

  /** @param log knows which ids say by themselves where their event stands */
  constructor(log: Pick<Log, 'madeIdOf'>, rule: CategoryRule) {
    this.#log = log
    this.rule = rule
  }

  /** @param record with its place; `stream` and `type` are its own, which the caller may know already */
  postingOf(record: StoredRecord, stream = record.stream, type = record.type): Posting {
    return {
      position: record.position,
      created: record.created,
      id: this.#mustBeIndexed(record) ? record.id : undefined,
      number: record.number,
      lists: this.#listsOf(record, stream, type)
    }
  }

  /** True when the id does not name the event's position: a client sent it, or an older or another log made it. */
  #mustBeIndexed(record: StoredRecord): boolean {
    return !record.removed && !this.#log.madeIdOf(record)
  }

  #listsOf(record: StoredRecord, stream: string, type: string): readonly ListName[] {
    const first = record.number === 0
    const correlation = correlationOf(record)
    const plain = !first && !record.hasTags && !record.removed && !record.tombstone && correlation === undefined
    const last = this.#last
    if (plain && last !== undefined && last.stream === stream && last.type === type) return last.lists
    const lists: ListName[] = [[family.stream, stream]]
    if (isSystemStream(stream)) {
      if (record.tombstone) lists.push([family.tombstone, stream])
      if (isMetastream(stream)) this.#addMetadata(lists, record, originalOf(stream))
      return lists
    }
    const category = this.#categoryList(stream)
    if (category !== undefined) lists.push(category)
    if (record.removed) return lists
    if (record.tombstone) {
      lists.push([family.tombstone, stream], [family.type, DELETED])
      return lists
    }
    if (type !== LINK_TYPE) lists.push([family.type, type])
    if (first) {
      lists.push([family.streams, ''])
      if (category !== undefined) lists.push([family.categoryStreams, category[1]])
    }
    if (record.hasTags) for (const tag of record.tags) lists.push([family.tag, tag])
    if (type !== LINK_TYPE && correlation !== undefined) lists.push([family.correlation, correlation])
    if (plain) this.#last = { stream, type, lists }
    return lists
  }

  #categoryList(stream: string): ListName | undefined {
    const category = categoryOf(stream, this.rule)
    if (category === undefined) return undefined
    let list = this.#categories.get(category)
    if (list === undefined) {
      list = [family.category, category]
      this.#categories.set(category, list)
    }
    return list
  }

  /** Metadata of user streams; a soft delete also stands among the events of the category. */
  #addMetadata(lists: ListName[], record: StoredRecord, original: string): void {
    if (isSystemStream(original) || record.removed || record.type !== METADATA_TYPE) return
    lists.push([family.type, METADATA_TYPE])
    if (!readMetadata(record.data).deleted) return
    lists.push([family.type, DELETED])
    const category = this.#categoryList(original)
    if (category !== undefined) lists.push(category)
  }
}

/** `$correlationId` of an event whose data is JSON; undefined when no stream could have its name. */
export function correlationOf(record: StoredRecord): string | undefined {
  const { metadata } = record
  if (metadata === undefined || record.contentType !== undefined || !metadata.includes(CORRELATION_KEY))
    return undefined
  const id = (JSON.parse(metadata.toString()) as { $correlationId?: unknown } | null)?.$correlationId
  return typeof id === 'string' && id !== '' && faultOfName(`$bc-${id}`) === undefined ? id : undefined
}

/** The lists of these postings that are kept now and whose heads are not in memory. */
export function missingLists(postings: Postings, batch: readonly Posting[]): ListName[] {
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
 * Looks at the lists that records will extend while they can still be refused: what is damaged in the index must not be
 * found when they are in the log.
 * @returns undefined when all of them are in memory
 * @throws `index-damaged`
 */
export function loadAll(postings: Postings, batch: readonly Posting[]): Promise<void> | undefined {
  const missing = missingLists(postings, batch)
  const ids = postings.lookAtNewIds(batch)
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
 * Takes committed records into the index. Each part is applied in the turn in which nothing of it is missing: while heads
 * are loaded others may leave memory, and a family that is being filled may become one that follows the log.
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

/** Parts whose lists fit into memory together. */
function* partsOf(batch: readonly Posting[]): Generator<readonly Posting[]> {
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

/**
 * Replays the log's end into an index that is behind it: after a crash, or all of it into a new index. Then all of the
 * index is on disk. Nobody else may be applying.
 * @throws `log-damaged` when a record cannot be read
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

/**
 * Fills families that are behind the others (they were switched on again, or their rule has changed) from where they
 * stopped, while the store serves. It goes on after a restart where it was. Nobody else may be filling.
 */
export async function backFill(log: Log, postings: Postings, poster: Poster, isStopped: () => boolean): Promise<void> {
  while (postings.behind.size > 0 && !isStopped()) {
    const from = Math.min(...postings.behind.values()) + 1
    const to = postings.appliedTo
    if (from > to) {
      postings.fill([], to)
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

export const kindsOf: Record<'none' | 'system' | 'all', readonly Family[]> = {
  none: [family.stream, family.tag, family.tombstone],
  system: Object.values(family),
  all: Object.values(family)
}
