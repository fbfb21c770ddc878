/** What is read from: one stream, one index stream, or the whole log, as it stood when the read began. */
import { DaybookError } from '../errors.js'
import type { Family, ListHead } from '../log/format.js'
import { NO_METADATA, type StreamMetadata } from '../streams/metadata.js'

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
