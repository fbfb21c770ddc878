/**
 * What the plans of one commit may know of the log, as it is before the commit. Plain data, as requests are: the writer
 * loads it, and a plan that asks for what was not loaded fails.
 */
import type { AccessSettings } from '../../access/permissions.js'
import type { StreamState } from '../../streams/stream-state.js'
import type { LookAgain, Match } from './event-condition.js'

export interface CommitSnapshot {
  /** The position that the next record gets. */
  readonly next: number
  /** `created` of the last record, milliseconds: the next one is not older. */
  readonly lastCreated: number
  /** Of each stream that a plan may ask for, how many events it has; null: it was never written. */
  readonly heads: ReadonlyMap<string, { readonly count: number } | null>
  /** Of the few streams that have metadata or a tombstone; every other stream of `heads` has neither. */
  readonly states: ReadonlyMap<string, StreamState>
  /** The defaults of access, as `$settings` says. */
  readonly settings: AccessSettings
  /**
   * What the log was searched for, by the place of a request in the commit; requests without conditions on events are left
   * out. There is one entry for each condition of `matches`: the first event that it forbids, undefined when there is none,
   * or LOOK_AGAIN when the log was searched too early.
   */
  readonly matches: ReadonlyMap<number, readonly (Match | LookAgain | undefined)[]>
  /** The events of the log that have an id which is to be appended to their stream, by `eventKey`. */
  readonly known: ReadonlyMap<string, { readonly position: number; readonly bytes: Buffer }>
  /** Ids that are to be appended, as latin1, and that this log will make for events that do not exist yet. */
  readonly idsOfTheFuture: ReadonlySet<string>
  /** The versions of accounts that requests rest on, by login; null: there is no such account. */
  readonly accounts: ReadonlyMap<string, number | null>
  /** By the id of an API token that a request rests on: false when it was revoked. */
  readonly tokens: ReadonlyMap<string, boolean>
}

/** Names an event by its stream and its id of 16 bytes. */
export function eventKey(stream: string, id: Buffer): string {
  return id.toString('latin1') + stream
}
