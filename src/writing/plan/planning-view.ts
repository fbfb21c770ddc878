/** What a plan may know: the snapshot, as the earlier plans of the same commit leave it. Plans change it. */

import {
  type AccessSettings,
  type Action,
  type Principal,
  permits,
  readSettings,
  rightFor,
  SETTINGS
} from '../../access/permissions.js'
import type { SignInFacts } from '../../access/sign-in-validity.js'
import { recordKind, StoredRecord, sameAsPrinted, sameContent, type UnplacedRecord } from '../../log/format.js'
import type { Acl } from '../../streams/acl.js'
import { showsMore } from '../../streams/metadata.js'
import { isMetastream, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import { PLAIN_STATE, type StreamState, withMetadata } from '../../streams/stream-state.js'
import { type CommitSnapshot, eventKey } from './commit-snapshot.js'
import { type EventCondition, itemMatches, LOOK_AGAIN, type LookAgain, type Match } from './event-condition.js'

/** Where an event stands, or will stand when the commit has succeeded. */
export interface PlacedEvent {
  readonly event: NewEvent
  readonly number: number
  readonly position: number
  readonly created: number
  /** It was there already; nothing was written for it. */
  readonly replayed: boolean
}

/** An event that is already in the stream under the same id. */
export interface KnownEvent {
  readonly number: number
  readonly position: number
  readonly created: number
  readonly bytes: Buffer
  /** It stands in the log; false: it was planned before in the same commit. */
  readonly stored: boolean
}

/** True when an event that is to be appended is the one that is known, sent again. */
export function isSameEvent({ position, bytes, stored }: KnownEvent, { bytes: sent }: UnplacedRecord): boolean {
  return sameContent(bytes, sent) || (stored && sameAsPrinted(new StoredRecord(position, bytes), sent))
}

export class PlanningView implements SignInFacts {
  /** Events planned so far, in order: what will be committed. */
  readonly planned: PlacedEvent[] = []
  /** The instant of this commit, milliseconds: that of the clock, unless the last record is younger. */
  readonly created: number
  readonly #snapshot: CommitSnapshot
  readonly #heads = new Map<string, number>()
  readonly #states = new Map<string, StreamState>()
  readonly #known = new Map<string, KnownEvent>()
  #settings: AccessSettings

  /** @param instant what the clock says, milliseconds */
  constructor(snapshot: CommitSnapshot, instant: number) {
    this.#snapshot = snapshot
    this.created = Math.max(instant, snapshot.lastCreated)
    this.#settings = snapshot.settings
  }

  /** Number of the stream's last event, hidden or not; -1 when there is none. */
  head(stream: string): number {
    return this.#heads.get(stream) ?? this.#storedHead(stream)
  }

  #storedHead(stream: string): number {
    const head = this.#snapshot.heads.get(stream)
    if (head === undefined) throw new Error(`the head of "${stream}" was not loaded`)
    return (head?.count ?? 0) - 1
  }

  state(stream: string): StreamState {
    return this.#states.get(stream) ?? this.#storedState(stream)
  }

  #storedState(stream: string): StreamState {
    const state = this.#snapshot.states.get(stream)
    if (state !== undefined) return state
    if (!this.#snapshot.heads.has(stream)) throw new Error(`the state of "${stream}" was not loaded`)
    return PLAIN_STATE
  }

  /** Whether the principal may do this, by the rules as the plans so far leave them. */
  permits(principal: Principal, action: Action, stream: string): boolean {
    const right = rightFor(action, stream)
    return permits(principal, right, this.state(right.stream).metadata.acl, this.#settings)
  }

  /** See `SignInFacts`; what this commit changes of accounts counts from the next one on. */
  versionOf(login: string): number | undefined {
    const version = this.#snapshot.accounts.get(login)
    if (version === undefined) throw new Error(`the account "${login}" was not loaded`)
    return version ?? undefined
  }

  hasToken(id: string): boolean {
    const exists = this.#snapshot.tokens.get(id)
    if (exists === undefined) throw new Error(`the token "${id}" was not loaded`)
    return exists
  }

  /** The event that the stream has under an id, in the log or planned before. */
  known(stream: string, id: Buffer): KnownEvent | undefined {
    const key = eventKey(stream, id)
    const planned = this.#known.get(key)
    if (planned !== undefined) return planned
    const stored = this.#snapshot.known.get(key)
    if (stored === undefined) return undefined
    const { position, bytes } = stored
    const { number, created } = new StoredRecord(position, bytes)
    return { number, position, created, bytes, stored: true }
  }

  /** True for an id that this log will make for an event that does not exist yet. */
  isOfTheFuture(id: Buffer): boolean {
    const { idsOfTheFuture } = this.#snapshot
    return idsOfTheFuture.size > 0 && idsOfTheFuture.has(id.toString('latin1'))
  }

  /**
   * The first event that a condition forbids, in the log or planned before; LOOK_AGAIN when the log was searched too early.
   * @param inLog what the search of the log says
   */
  match(condition: EventCondition, inLog: Match | LookAgain | undefined): Match | LookAgain | undefined {
    if (inLog !== undefined) return inLog
    const { items, after, seenBy } = condition
    if (this.#showsMore(seenBy)) return LOOK_AGAIN
    for (const { event, position } of this.planned) {
      if (position <= after) continue
      if (seenBy !== undefined && !this.permits(seenBy, 'read', event.stream)) continue
      const record = new StoredRecord(position, event.record.bytes)
      if (items.some((item) => itemMatches(item, record))) return { position, type: event.type }
    }
    return undefined
  }

  /**
   * Whether events of the log that were hidden before this commit may be seen after what is planned.
   * @param principal undefined: one who may read everything
   */
  #showsMore(principal: Principal | undefined): boolean {
    const { settings } = this.#snapshot
    const reads = (acl: Acl | undefined, by: AccessSettings, stream: string) =>
      principal === undefined || permits(principal, { action: 'read', stream }, acl, by)
    const usual = (by: AccessSettings) => reads(undefined, by, 'usual')
    if (usual(this.#settings) && !usual(settings)) return true
    // Its metadata may hide settings, or show them again: which ones are in force is not known before the commit.
    if (principal !== undefined && this.#states.has(SETTINGS)) return true
    for (const [stream, { metadata }] of this.#states) {
      const before = this.#storedState(stream).metadata
      if (showsMore(before, metadata)) return true
      if (reads(metadata.acl, this.#settings, stream) && !reads(before.acl, settings, stream)) return true
    }
    return false
  }

  /** Gives an event the next number of its stream and the next position of the log. */
  place(event: NewEvent): PlacedEvent {
    const { stream, id } = event
    const { bytes } = event.record
    const number = this.head(stream) + 1
    const position = this.#snapshot.next + this.planned.length
    const { created } = this
    const placed = { event, number, position, created, replayed: false }
    this.planned.push(placed)
    this.#heads.set(stream, number)
    if (id !== undefined) this.#known.set(eventKey(stream, id), { number, position, created, bytes, stored: false })
    if (stream === SETTINGS) {
      const { document = Buffer.alloc(0) } = new StoredRecord(position, bytes)
      this.#settings = readSettings(document, this.#settings.anonymous)
    }
    if (bytes[1] === recordKind.tombstone) this.#states.set(stream, { ...this.state(stream), tombstone: true })
    else if (isMetastream(stream)) {
      const original = originalOf(stream)
      const state = withMetadata(this.state(original), new StoredRecord(position, bytes), number)
      this.#states.set(original, state)
    }
    return placed
  }
}
