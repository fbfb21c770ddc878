/** What is read from: one stream, one index stream, or the whole log, as it stood when the read began. */
import { DaybookError } from '../errors.js'
import type { Family, ListHead } from '../log/format.js'
import { NO_METADATA, type StreamMetadata } from '../streams/metadata.js'
import type { Range } from './walk.js'

export interface Source {
  /** Name of the stream or index stream; undefined: the log itself. */
  readonly stream: string | undefined
  /** The list's family; undefined: the log itself. */
  readonly kind: Family | undefined
  /** An index stream, whose numbers are its own. */
  readonly index: boolean
  readonly list: ListHead | undefined
  /** Last number or position there is, -1 when there is none. */
  readonly head: number
  /** Lowest number that can be seen. */
  readonly first: number
  readonly metadata: StreamMetadata
  /** Number of the metadata event, -1 when there is none. */
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

/** The refusal of a cursor past the end. @param log identity of the log that is read */
export function cursorBeyondHead(cursor: number, head: number, log: string): DaybookError {
  return new DaybookError(
    'cursor-beyond-head',
    `The cursor ${cursor} lies beyond the last event (${head}). A cursor only comes from what was read: this may be another log than the one it came from.`,
    { cursor: String(cursor), head: head === -1 ? null : head, log }
  )
}

/** The refusal of the last event where none is seen. @param scanned the cursors that were looked at, from the end */
export function noLastEvent({ stream, head }: Source, scanned: Range): DaybookError {
  const where = stream === undefined ? 'the log' : `"${stream}"`
  const isEmpty = head === -1
  const isWhole = scanned.first <= 0
  const why = isEmpty
    ? `There is no event in ${where} yet.`
    : isWhole
      ? `There is no event in ${where} that you may see.`
      : `None of the last events in ${where}, from ${scanned.first} on, is one that you may see. Read on with from=end&order=desc&cursor=${scanned.first}.`
  return new DaybookError('event-not-found', why, {
    ...(stream !== undefined && { stream }),
    head: isEmpty ? null : head,
    ...(!isEmpty && !isWhole && { scanned: { from: scanned.first, to: scanned.last } })
  })
}

/** The refusal of an event that cannot be seen. @param beyond it comes after the last one */
export function noEvent({ stream, head }: Source, number: number, beyond: boolean): DaybookError {
  const where = stream === undefined ? 'in the log' : `in "${stream}"`
  const last = head === -1 ? null : head
  const why = beyond
    ? `yet; ${last === null ? 'it is empty' : `its last is ${last}`}`
    : 'any more: its stream does not show it'
  return new DaybookError('event-not-found', `There is no event ${number} ${where} ${why}.`, {
    ...(stream !== undefined && { stream }),
    number,
    head: last
  })
}
