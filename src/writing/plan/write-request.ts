/**
 * Requests to the writer. They are plain data (values, bytes, arrays and objects without a class), so that another
 * process can plan a write with the same result.
 */
import type { Actor, Principal } from '../../access/permissions.js'
import type { NewEvent } from '../../streams/new-event.js'
import type { EventCondition } from './event-condition.js'
import type { Condition, ExpectedVersion } from './expected-version.js'

export type WriteRequest = AppendRequest | DeleteRequest
export type AppendRequest = AppendAll | AppendEach | AppendByPlace

/** An append of all events or none. */
export interface AppendAll {
  readonly kind: 'append'
  readonly events: readonly NewEvent[]
  readonly conditions: readonly Condition[]
  /** Conditions on events: the append is refused when an event of the log matches one of them. */
  readonly matches?: readonly EventCondition[] | undefined
  /** The actor whose rights are checked; undefined: the store itself writes. */
  readonly by?: Actor | undefined
  /**
   * The principal for which the store itself writes. The append is refused if its sign-in is not valid in the append's
   * turn.
   */
  readonly askedBy?: Principal | undefined
  /**
   * Present when the ids were derived from an Idempotency-Key; `nextId` is the id that one further event would have.
   */
  readonly keyed?: { readonly stream: string; readonly nextId: Buffer } | undefined
}

/**
 * A streamed write: each event is an append of its own, in order, up to the first refused one. It may be retried from
 * its beginning.
 */
export interface AppendEach {
  readonly kind: 'append-each'
  readonly events: readonly NewEvent[]
  /** As in `AppendAll`. */
  readonly by?: Actor | undefined
}

/** An append of all events or none to one stream, with EventStoreDB's version check and idempotency (reference 5.4). */
export interface AppendByPlace {
  readonly kind: 'append-by-place'
  /** All events belong to this stream. */
  readonly stream: string
  readonly expected: ExpectedVersion
  readonly events: readonly NewEvent[]
  /** As in `AppendAll`. */
  readonly by?: Actor | undefined
}

export interface DeleteRequest {
  readonly kind: 'delete'
  readonly stream: string
  readonly expected: ExpectedVersion
  /** True: a tombstone, after which nothing can be appended. False: an append revives the stream. */
  readonly permanent: boolean
  /** The actor whose rights are checked; undefined: the store itself deletes. */
  readonly by?: Actor | undefined
}

/** Returns the principal whose sign-in a request depends on; undefined: the store itself writes. */
export function principalOfRequest(request: WriteRequest): Principal | undefined {
  return request.by?.principal ?? (request.kind === 'append' ? request.askedBy : undefined)
}
