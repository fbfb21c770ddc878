/** Derives the index entries of a record: the lists that it belongs to, and its id if the id encodes no position. */
import { LRUCache } from 'lru-cache'
import { family, type StoredRecord } from '../log/format.js'
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
import type { ListName, Posting } from './posting.js'

/** The type under which deletions are listed (reference 19). */
const DELETED = '$deleted'
const CORRELATION_KEY = '"$correlationId"'

/**
 * Determines the lists of a record, in all families, kept or not. The result depends only on the record and the
 * category rule, so that a rebuilt index is equal to one that grew with the log.
 */
export class Poster {
  readonly rule: CategoryRule
  readonly #log: Pick<Log, 'madeIdOf'>
  /** Cache: most events belong to the same lists as the event before. */
  #last: { stream: string; type: string; lists: readonly ListName[] } | undefined
  readonly #categories = new LRUCache<string, ListName>({ max: 1000 })

  /** @param log knows which ids encode the position of their event */
  constructor(log: Pick<Log, 'madeIdOf'>, rule: CategoryRule) {
    this.#log = log
    this.rule = rule
  }

  /**
   * @param record with its position; `stream` and `type` are those of the record, if the caller has decoded them
   * already
   */
  postingOf(record: StoredRecord, stream = record.stream, type = record.type): Posting {
    return {
      position: record.position,
      created: record.created,
      id: this.#mustBeIndexed(record) ? record.id : undefined,
      number: record.number,
      lists: this.#listsOf(record, stream, type)
    }
  }

  /**
   * True when the id does not encode the event's position: a client sent it, or an older or another log generated it.
   */
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

  /** Adds the lists of metadata of a user stream. A soft delete is also listed in the category of the stream. */
  #addMetadata(lists: ListName[], record: StoredRecord, original: string): void {
    if (isSystemStream(original) || record.removed || record.type !== METADATA_TYPE) return
    lists.push([family.type, METADATA_TYPE])
    if (!readMetadata(record.data).deleted) return
    lists.push([family.type, DELETED])
    const category = this.#categoryList(original)
    if (category !== undefined) lists.push(category)
  }
}

/**
 * Returns the `$correlationId` of an event with JSON data; undefined when it is absent or not valid in a stream name.
 */
export function correlationOf(record: StoredRecord): string | undefined {
  const { metadata } = record
  if (metadata === undefined || record.contentType !== undefined || !metadata.includes(CORRELATION_KEY))
    return undefined
  const id = (JSON.parse(metadata.toString()) as { $correlationId?: unknown } | null)?.$correlationId
  return typeof id === 'string' && id !== '' && faultOfName(`$bc-${id}`) === undefined ? id : undefined
}
