/**
 * The state of the log before a commit, as far as its plans need it. Like requests it is plain data. The writer loads
 * it; a plan throws when it needs something that was not loaded.
 */
import type { AccessSettings } from '../../access/permissions.js'
import type { StreamState } from '../../streams/stream-state.js'
import type { LookAgain, Match } from './event-condition.js'

export interface CommitSnapshot {
  /** The position that the next record gets. */
  readonly next: number
  /** `created` of the last record, in milliseconds. The next record must not be older. */
  readonly lastCreated: number
  /** The number of events of each stream that a plan may need; null: the stream was never written. */
  readonly heads: ReadonlyMap<string, { readonly count: number } | null>
  /** The states of the few streams that have metadata or a tombstone. Every other stream of `heads` has neither. */
  readonly states: ReadonlyMap<string, StreamState>
  /** The default access rules from `$settings`. */
  readonly settings: AccessSettings
  /**
   * Search results, by the index of the request in the commit. Requests without conditions on events are left out.
   * There is one entry for each condition in `matches`: the first event that it forbids, undefined when there is none,
   * or LOOK_AGAIN when the search is out of date.
   */
  readonly matches: ReadonlyMap<number, readonly (Match | LookAgain | undefined)[]>
  /** Events of the log that have the same stream and id as an event to append, by `eventKey`. */
  readonly known: ReadonlyMap<string, { readonly position: number; readonly bytes: Buffer }>
  /** Ids of events to append, as latin1, that this log itself will generate for a position beyond its head. */
  readonly reservedIds: ReadonlySet<string>
  /** Versions of the accounts with which requests signed in, by login; null: there is no such account. */
  readonly accounts: ReadonlyMap<string, number | null>
  /** API tokens with which requests signed in, by id; false: the token was revoked. */
  readonly tokens: ReadonlyMap<string, boolean>
}

/** Returns a map key for an event: its id of 16 bytes, and its stream. */
export function eventKey(stream: string, id: Buffer): string {
  return id.toString('latin1') + stream
}
