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
import { type EventCondition, LOOK_AGAIN, type LookAgain, type Match } from './event-condition.js'
import { PlannedEvents } from './planned-events.js'

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

/** What one principal may read, as far as it was asked. */
interface Sight {
  /** By stream, of those whose state this commit has not changed. */
  readonly mayRead: Map<string, boolean>
  /** How many changes of states were looked at, and whether one of them shows events that were hidden. */
  changesSeen: number
  showsMore: boolean
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
  /** Made when a condition first asks. */
  #byName: PlannedEvents | undefined
  /** Streams whose states were changed, in order. */
  readonly #changed: string[] = []
  /** By what a principal's rights rest on. */
  readonly #sights = new Map<string, Sight>()
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
   * Yields when others should have a turn; nothing may be planned meanwhile.
   * @param inLog what the search of the log says
   */
  *match(
    { items, after, seenBy }: EventCondition,
    inLog: Match | LookAgain | undefined
  ): Generator<void, Match | LookAgain | undefined> {
    if (inLog !== undefined) return inLog
    const sight = this.#sightOf(seenBy)
    if (this.#showsMore(seenBy, sight)) return LOOK_AGAIN
    this.#byName ??= new PlannedEvents(this.planned)
    return yield* this.#byName.first(items, after, (stream) => this.#mayRead(seenBy, stream, sight))
  }

  #sightOf(principal: Principal | undefined): Sight {
    const key = principal === undefined ? '' : JSON.stringify([principal.login, principal.groups, principal.scope])
    let sight = this.#sights.get(key)
    if (sight === undefined) {
      sight = { mayRead: new Map(), changesSeen: 0, showsMore: false }
      this.#sights.set(key, sight)
    }
    return sight
  }

  /** @param principal undefined: one who may read everything */
  #mayRead(principal: Principal | undefined, stream: string, { mayRead }: Sight): boolean {
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
   * Whether events of the log that were hidden before this commit may be seen after what is planned.
   * @param principal undefined: one who may read everything
   */
  #showsMore(principal: Principal | undefined, sight: Sight): boolean {
    const { settings } = this.#snapshot
    const reads = (acl: Acl | undefined, by: AccessSettings, stream: string) =>
      principal === undefined || permits(principal, { action: 'read', stream }, acl, by)
    const usual = (by: AccessSettings) => reads(undefined, by, 'usual')
    if (usual(this.#settings) && !usual(settings)) return true
    // Its metadata may hide settings, or show them again: which ones are in force is not known before the commit.
    if (principal !== undefined && this.#states.has(SETTINGS)) return true
    for (; !sight.showsMore && sight.changesSeen < this.#changed.length; sight.changesSeen++) {
      const stream = this.#changed[sight.changesSeen] as string
      const { metadata } = this.state(stream)
      const before = this.#storedState(stream).metadata
      sight.showsMore =
        showsMore(before, metadata) ||
        (reads(metadata.acl, this.#settings, stream) && !reads(before.acl, settings, stream))
    }
    return sight.showsMore
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
      this.#sights.clear()
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
