/**
 * The positions that a read has to look at. A stream is walked by its posting list, a filter on types or categories by
 * the lists of those, everything else by the log itself.
 */
import type { Postings } from '../index/posting-lists.js'
import { family } from '../log/format.js'
import type { ReadRequest } from './event-read.js'
import type { Source } from './source.js'
import { type Range, walkList, walkLists, walkLog } from './walk.js'

/** The positions that a read looks at: from the shortest lists that its filter allows, else from the log. */
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
  // The lists of tags, types and categories do not hold system streams; those of types do not hold most `$` types.
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
