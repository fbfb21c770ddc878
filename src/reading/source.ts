/** The source of a read: a snapshot of one stream, one index stream or the whole log, taken when the read begins. */
import { DaybookError } from '../errors.js'
import type { Family, ListHead } from '../log/format.js'
import { NO_METADATA, type StreamMetadata } from '../streams/metadata.js'
import type { Range } from './walk.js'

export interface Source {
  /** Name of the stream or index stream. Undefined: the log itself. */
  readonly stream: string | undefined
  /** Family of the posting list. Undefined: the log itself. */
  readonly kind: Family | undefined
  /** True for an index stream, which has its own numbers. */
  readonly index: boolean
  readonly list: ListHead | undefined
  /** Last number or position; -1 when the source is empty. */
  readonly head: number
  /** Lowest visible number. */
  readonly first: number
  readonly metadata: StreamMetadata
  /** Number of the metadata event; -1 when there is none. */
  readonly metadataVersion: number
}

export function logSource(head: number): Source {
  return {
    stream: undefined,
    kind: undefined,
    index: false,
    list: undefined,
    head,
    first: 0,
    metadata: NO_METADATA,
    metadataVersion: -1
  }
}

/** Returns the error for a cursor past the end. @param log identity of the log that is read */
export function cursorBeyondHead(cursor: number, head: number, log: string): DaybookError {
  return new DaybookError(
    'cursor-beyond-head',
    `Cursor ${cursor} is beyond the last event (${head}). Use only cursors from earlier reads of this log; this one may come from another log.`,
    { cursor: String(cursor), head: head === -1 ? null : head, log }
  )
}

/** Returns the error for a read of the last event that finds none. @param scanned the examined cursors at the end */
export function noLastEvent({ stream, head }: Source, scanned: Range): DaybookError {
  const where = stream === undefined ? 'the log' : `"${stream}"`
  const isEmpty = head === -1
  const isWhole = scanned.first <= 0
  const why = isEmpty
    ? `There is no event in ${where} yet.`
    : isWhole
      ? `There is no event in ${where} that you may read.`
      : `You may read none of the last events in ${where}, down to ${scanned.first}. Continue with from=end&order=desc&cursor=${scanned.first}.`
  return new DaybookError('event-not-found', why, {
    ...(stream !== undefined && { stream }),
    head: isEmpty ? null : head,
    ...(!isEmpty && !isWhole && { scanned: { from: scanned.first, to: scanned.last } })
  })
}

/** Returns the error for an event that is not visible. @param beyond the number is past the last event */
export function noEvent({ stream, head }: Source, number: number, beyond: boolean): DaybookError {
  const where = stream === undefined ? 'in the log' : `in "${stream}"`
  const last = head === -1 ? null : head
  const why = beyond ? `yet; ${last === null ? 'it is empty' : `its last event is ${last}`}` : 'that can be read'
  return new DaybookError('event-not-found', `There is no event ${number} ${where} ${why}.`, {
    ...(stream !== undefined && { stream }),
    number,
    head: last
  })
}
