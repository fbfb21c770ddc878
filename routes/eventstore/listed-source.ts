/** Where a stream or an index stream stands, for reads in the Atom dialect. */
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError } from '../../src/errors.js'
import type { Postings } from '../../src/index/posting-lists.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import { checkStreamName } from '../../src/streams/names.js'
import { badRequest } from './wire/refusal.js'

export interface ListedSourceParts {
  readonly reader: Reader
  readonly sources: Sources
  readonly postings: Postings
}

/**
 * A stream or an index stream by its name. An index stream whose list is not kept does not exist.
 * @throws `stream-not-found`, `stream-deleted`
 */
export async function listedSource(
  { sources, reader, postings }: ListedSourceParts,
  stream: string,
  viewer: Viewer | undefined
): Promise<Source> {
  const index = indexStreamOf(stream)
  if (index === undefined) return sources.of(stream)
  if (postings.keeps(index.kind)) return reader.visible.ofIndex(stream, index, viewer)
  throw new DaybookError('stream-not-found', `"${stream}" is not kept here.`, { stream, head: null })
}

/**
 * Last number of a stream or index stream, seen or not; -1 when it was never written.
 * @param viewer for whom an index stream without anything to see was never written; undefined: one who sees everything
 */
export async function listedHead(
  { sources, reader, postings }: ListedSourceParts,
  stream: string,
  viewer?: Viewer
): Promise<number> {
  const index = indexStreamOf(stream)
  if (index === undefined) return sources.head(stream)
  return postings.keeps(index.kind) ? (await reader.visible.toFollow({ stream, index }, viewer)).head : -1
}

/** @throws a 400 for a name that cannot be a stream's */
export function checkReadableName(stream: string): void {
  try {
    checkStreamName(stream)
  } catch {
    throw badRequest(`Invalid stream name '${stream}'`)
  }
}
