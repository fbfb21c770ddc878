/**
 * Index streams (reference 13, 19): names under which the lists of a family are read. Nothing is ever appended to
 * them; they grow with the events they list.
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

/** The list that a stream's name means; undefined for a stream of its own. */
export function indexStreamOf(stream: string): IndexStream | undefined {
  if (stream.charCodeAt(0) !== 0x24) return undefined
  if (stream === '$streams') return { kind: family.streams, name: '' }
  for (const [prefix, kind] of PREFIXES) {
    if (stream.startsWith(prefix) && stream.length > prefix.length) return { kind, name: stream.slice(prefix.length) }
  }
  return undefined
}

/** @throws `bad-stream-name` for a name under which nothing can be deleted: an index, the log, or one that is no name */
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
 * Checks the name of a stream whose metadata is written.
 * @throws `bad-stream-name` for one that can have none, and for an index, where retention and rules would do nothing
 */
export function checkTakesMetadata(stream: string): void {
  checkAppendableName(metastreamOf(stream))
  if (isMetastream(stream)) throw new DaybookError('bad-stream-name', 'Metadata has no metadata.', { stream })
  if (indexStreamOf(stream) === undefined) return
  throw refusedIndex(
    stream,
    'has no metadata of its own. Retention and rules are those of the streams whose events it lists.'
  )
}

/** @throws `bad-stream-name` for a name that events, or metadata in the form of events, cannot be appended to */
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
