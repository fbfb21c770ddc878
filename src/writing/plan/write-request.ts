/**
 * What a caller asks the writer for. Plain data: values, bytes, arrays and objects without a class, so that a write can
 * be decided in another process, and gives the same there.
 */
import type { Actor, Principal } from '../../access/permissions.js'
import type { NewEvent } from '../../streams/new-event.js'
import type { EventCondition } from './event-condition.js'
import type { Condition, ExpectedVersion } from './expected-version.js'

export type WriteRequest = AppendRequest | DeleteRequest
export type AppendRequest = AppendAll | AppendEach | AppendByPlace

/** All or nothing. */
export interface AppendAll {
  readonly kind: 'append'
  readonly events: readonly NewEvent[]
  readonly conditions: readonly Condition[]
  /** Conditions on events: an event of the log that meets one refuses the append. */
  readonly matches?: readonly EventCondition[] | undefined
  /** Whose rights it needs; undefined: the store itself writes. */
  readonly by?: Actor | undefined
  /** For whom the store itself writes: nothing is written when they are not signed in any more in the append's turn. */
  readonly askedBy?: Principal | undefined
  /** The ids were made from an Idempotency-Key; this is the id an event after the last one would have. */
  readonly keyed?: { readonly stream: string; readonly nextId: Buffer } | undefined
}

/**
 * Every event is an append of its own, in order, up to the first that is refused: a streamed write, which may be sent
 * again from its beginning.
 */
export interface AppendEach {
  readonly kind: 'append-each'
  readonly events: readonly NewEvent[]
  /** As in `AppendAll`. */
  readonly by?: Actor | undefined
}

/** All or nothing, to one stream, by the version check and idempotency of EventStoreDB (reference 5.4). */
export interface AppendByPlace {
  readonly kind: 'append-by-place'
  /** The stream of all events. */
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
  /** A tombstone: nothing can ever be appended again. Otherwise an append brings the stream back. */
  readonly permanent: boolean
  /** Whose rights it needs; undefined: the store itself deletes. */
  readonly by?: Actor | undefined
}

/** On whose sign-in a request rests; undefined: the store itself asks. */
export function principalOfRequest(request: WriteRequest): Principal | undefined {
  return request.by?.principal ?? (request.kind === 'append' ? request.askedBy : undefined)
}
