/**
 * Chooses the positions that a read examines. A stream is walked by its posting list, a filter on types, categories or
 * tags by their posting lists, and everything else by the log itself.
 */
import type { Postings } from '../index/posting-lists.js'
import { family } from '../log/format.js'
import type { ReadRequest } from './event-read.js'
import type { Source } from './source.js'
import { type Range, walkList, walkLists, walkLog } from './walk.js'

/** Returns the positions that a read examines: from the posting lists its filter allows, otherwise from the log. */
export function positionsOf(
  postings: Postings,
  source: Source,
  { order, filter }: ReadRequest,
  range: Range,
  chunk: number
): AsyncIterable<number[]> | Iterable<number[]> {
  if (source.kind !== undefined) {
    return source.list === undefined
      ? []
      : walkList(postings, { kind: source.kind, head: source.list, range, order, chunk })
  }
  const { type, category, stream, tags, system } = filter.options
  if (stream?.is !== undefined) return walkLists(postings, family.stream, stream.is, range, order)
  // The lists of tags, types and categories leave out system streams. Type lists also leave out most `$` types.
  if (!system && tags !== undefined && tags.length > 0 && postings.isCurrent(family.tag)) {
    return walkLists(postings, family.tag, tags.slice(0, 1), range, order)
  }
  const listed = type?.is?.every((name) => !name.startsWith('$')) && postings.isCurrent(family.type)
  if (!system && listed && type?.is !== undefined) {
    return walkLists(postings, family.type, type.is, range, order)
  }
  if (category !== undefined && postings.isCurrent(family.category)) {
    return walkLists(postings, family.category, category.is, range, order)
  }
  return walkLog(range, order, chunk)
}
