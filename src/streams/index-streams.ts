/**
 * Index streams (reference 13, 19): names under which index lists can be read as streams. Nothing can be appended to
 * them; they grow with the events that they list.
 */
import { DaybookError } from '../errors.js'
import { type Family, family } from '../log/format.js'
import { checkAppendableName, checkStreamName, isMetastream, metastreamOf, originalOf } from './names.js'

export interface IndexStream {
  readonly kind: Family
  /** The list's name in its family. */
  readonly name: string
}

const PREFIXES: readonly (readonly [string, Family])[] = [
  ['$ce-', family.category],
  ['$et-', family.type],
  ['$bc-', family.correlation],
  ['$category-', family.categoryStreams]
]

/** Returns the index list of a stream name; undefined for an ordinary stream. */
export function indexStreamOf(stream: string): IndexStream | undefined {
  if (stream.charCodeAt(0) !== 0x24) return undefined
  if (stream === '$streams') return { kind: family.streams, name: '' }
  for (const [prefix, kind] of PREFIXES) {
    if (stream.startsWith(prefix) && stream.length > prefix.length) return { kind, name: stream.slice(prefix.length) }
  }
  return undefined
}

/**
 * @throws DaybookError `bad-stream-name` for a name that cannot be deleted: an index, the log, a reserved or invalid
 * name
 */
export function checkDeletableName(stream: string): void {
  checkStreamName(stream)
  if (indexStreamOf(stream) !== undefined) {
    throw refusedIndex(stream, 'cannot be deleted. Delete the streams whose events it lists.')
  }
  if (stream === '$all') {
    throw new DaybookError('bad-stream-name', 'The log cannot be deleted. Delete its streams.', { stream })
  }
  checkAppendableName(stream)
}

/**
 * Checks the name of a stream whose metadata is to be written.
 * @throws DaybookError `bad-stream-name` for a stream that cannot have metadata, such as an index, where retention and
 * rules would have no effect
 */
export function checkTakesMetadata(stream: string): void {
  checkAppendableName(metastreamOf(stream))
  if (isMetastream(stream)) {
    throw new DaybookError('bad-stream-name', `"${stream}" is a metastream and has no metadata itself.`, { stream })
  }
  if (indexStreamOf(stream) === undefined) return
  throw refusedIndex(
    stream,
    'has no metadata of its own. Set retention and rules on the streams whose events it lists.'
  )
}

/** @throws DaybookError `bad-stream-name` for a stream to which events, or metadata events, cannot be appended */
export function checkTakesEvents(stream: string): void {
  if (isMetastream(stream)) checkTakesMetadata(originalOf(stream))
  else checkAppendableName(stream)
}

function refusedIndex(stream: string, why: string): DaybookError {
  return new DaybookError('bad-stream-name', `"${stream}" is an index and ${why} Nothing was written.`, {
    stream,
    written: false,
    retry: false
  })
}
