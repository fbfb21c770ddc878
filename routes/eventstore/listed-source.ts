/** Looks up a stream or an index stream, for reads in the Atom dialect. */
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
 * Returns the source of a stream or an index stream. An index stream does not exist when its index is switched off.
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
  throw new DaybookError('stream-not-found', `"${stream}" does not exist: its index is switched off.`, {
    stream,
    head: null
  })
}

/**
 * Returns the last number of a stream or index stream, including hidden events; -1 when it was never written.
 * @param viewer an index stream without visible events counts as never written; undefined: the caller may read all
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

/** @throws a 400 for an invalid stream name */
export function checkReadableName(stream: string): void {
  try {
    checkStreamName(stream)
  } catch {
    throw badRequest(`Invalid stream name '${stream}'`)
  }
}
