/** The state that plans read and change: the snapshot plus the effects of the earlier plans of the same commit. */

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
import { type EventCondition, LOOK_AGAIN, type LookAgain, type Match } from './event-condition.js'
import { PlannedEvents } from './planned-events.js'

/** An event with the number and position that it has, or will have after the commit. */
export interface PlacedEvent {
  readonly event: NewEvent
  readonly number: number
  readonly position: number
  readonly created: number
  /** True when the event was in the log already and is not written again. */
  readonly replayed: boolean
}

/** An event that is already in the stream under the same id. */
export interface KnownEvent {
  readonly number: number
  readonly position: number
  readonly created: number
  readonly bytes: Buffer
  /** True: it is in the log; false: it was planned earlier in the same commit. */
  readonly stored: boolean
}

/** Returns true when the event to append has the content of the known event, so that it counts as a retry. */
export function isSameEvent({ position, bytes, stored }: KnownEvent, { bytes: sent }: UnplacedRecord): boolean {
  return sameContent(bytes, sent) || (stored && sameAsPrinted(new StoredRecord(position, bytes), sent))
}

/** Cached read rights of one principal. */
interface ReadRights {
  /** By stream; only streams whose state this commit has not changed. */
  readonly mayRead: Map<string, boolean>
  /** The number of state changes examined so far. */
  changesSeen: number
  /** True when one of them shows events that were hidden. */
  showsMore: boolean
}

export class PlanningView implements SignInFacts {
  /** Events planned so far, in order: what will be committed. */
  readonly planned: PlacedEvent[] = []
  /** `created` of this commit, in milliseconds: the clock's time, or that of the last record if it is later. */
  readonly created: number
  readonly #snapshot: CommitSnapshot
  readonly #heads = new Map<string, number>()
  readonly #states = new Map<string, StreamState>()
  readonly #known = new Map<string, KnownEvent>()
  /** Created when a condition on events first needs it. */
  #plannedByName: PlannedEvents | undefined
  /** Streams whose states were changed, in order of the changes. */
  readonly #changed: string[] = []
  /** By login, groups and scope, on which the rights of a principal depend. */
  readonly #rightsByPrincipal = new Map<string, ReadRights>()
  #settings: AccessSettings

  /** @param instant the clock's time, in milliseconds */
  constructor(snapshot: CommitSnapshot, instant: number) {
    this.#snapshot = snapshot
    this.created = Math.max(instant, snapshot.lastCreated)
    this.#settings = snapshot.settings
  }

  /** Returns the number of the stream's last event, hidden or not; -1 when there is none. */
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

  /** Returns whether the principal may do this, by the access rules after the plans so far. */
  permits(principal: Principal, action: Action, stream: string): boolean {
    const right = rightFor(action, stream)
    return permits(principal, right, this.state(right.stream).metadata.acl, this.#settings)
  }

  /** See `SignInFacts`. Account changes in this commit take effect from the next commit on. */
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

  /** Returns the event of the stream with this id, from the log or planned before; undefined when there is none. */
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

  /** Returns true for an id that this log will generate for an event that does not exist yet. */
  isReserved(id: Buffer): boolean {
    const { reservedIds } = this.#snapshot
    return reservedIds.size > 0 && reservedIds.has(id.toString('latin1'))
  }

  /**
   * Returns the first event that a condition forbids, in the log or planned before; LOOK_AGAIN when the search of the
   * log is out of date. Yields when other work should have a turn of the event loop; nothing may be planned meanwhile.
   * @param inLog the result of the search of the log
   */
  *match(
    { items, after, seenBy }: EventCondition,
    inLog: Match | LookAgain | undefined
  ): Generator<void, Match | LookAgain | undefined> {
    if (inLog !== undefined) return inLog
    const rights = this.#rightsOf(seenBy)
    if (this.#showsMore(seenBy, rights)) return LOOK_AGAIN
    this.#plannedByName ??= new PlannedEvents(this.planned)
    return yield* this.#plannedByName.first(items, after, (stream) => this.#mayRead(seenBy, stream, rights))
  }

  #rightsOf(principal: Principal | undefined): ReadRights {
    const key = principal === undefined ? '' : JSON.stringify([principal.login, principal.groups, principal.scope])
    let rights = this.#rightsByPrincipal.get(key)
    if (rights === undefined) {
      rights = { mayRead: new Map(), changesSeen: 0, showsMore: false }
      this.#rightsByPrincipal.set(key, rights)
    }
    return rights
  }

  /** @param principal undefined: every event may be read */
  #mayRead(principal: Principal | undefined, stream: string, { mayRead }: ReadRights): boolean {
    if (principal === undefined) return true
    if (this.#states.has(stream)) return this.permits(principal, 'read', stream)
    let may = mayRead.get(stream)
    if (may === undefined) {
      may = this.permits(principal, 'read', stream)
      mayRead.set(stream, may)
    }
    return may
  }

  /**
   * Returns whether the planned changes may show events of the log that were hidden before this commit.
   * @param principal undefined: every event may be read
   */
  #showsMore(principal: Principal | undefined, rights: ReadRights): boolean {
    const { settings } = this.#snapshot
    const reads = (acl: Acl | undefined, by: AccessSettings, stream: string) =>
      principal === undefined || permits(principal, { action: 'read', stream }, acl, by)
    const readsByDefault = (by: AccessSettings) => reads(undefined, by, 'usual')
    if (readsByDefault(this.#settings) && !readsByDefault(settings)) return true
    // The metadata of `$settings` may hide or show settings. Which settings apply is not known before the
    // commit.
    if (principal !== undefined && this.#states.has(SETTINGS)) return true
    for (; !rights.showsMore && rights.changesSeen < this.#changed.length; rights.changesSeen++) {
      const stream = this.#changed[rights.changesSeen] as string
      const { metadata } = this.state(stream)
      const before = this.#storedState(stream).metadata
      rights.showsMore =
        showsMore(before, metadata) ||
        (reads(metadata.acl, this.#settings, stream) && !reads(before.acl, settings, stream))
    }
    return rights.showsMore
  }

  /** Adds an event to the plan, with the next number of its stream and the next position of the log. */
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
      this.#rightsByPrincipal.clear()
    }
    if (bytes[1] === recordKind.tombstone) this.#setState(stream, { ...this.state(stream), tombstone: true })
    else if (isMetastream(stream)) {
      const original = originalOf(stream)
      const state = withMetadata(this.state(original), new StoredRecord(position, bytes), number)
      this.#setState(original, state)
    }
    return placed
  }

  #setState(stream: string, state: StreamState): void {
    this.#states.set(stream, state)
    this.#changed.push(stream)
  }
}
