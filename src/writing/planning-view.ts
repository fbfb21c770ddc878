/** What a plan may know: the store as the log has it, then as the earlier plans of the same commit leave it. */

import {
  type AccessSettings,
  type Action,
  type Principal,
  permits,
  readSettings,
  rightFor,
  SETTINGS
} from '../access/permissions.js'
import { recordKind, StoredRecord, sameAsPrinted, sameContent, type UnplacedRecord } from '../log/format.js'
import type { Acl } from '../streams/acl.js'
import { showsMore } from '../streams/metadata.js'
import { isMetastream, originalOf } from '../streams/names.js'
import type { NewEvent } from '../streams/new-event.js'
import { type StreamState, withMetadata } from '../streams/stream-state.js'
import { itemMatches, LOOK_AGAIN, type LookAgain, type Match, type MatchCondition } from './event-conditions.js'

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
  sameContent(record: UnplacedRecord): boolean
}

/** What the log holds of the things a commit asks for; all of it was brought into memory before. */
export interface Committed {
  /** Number of a stream's last event, -1 when there is none. */
  head(stream: string): number
  state(stream: string): StreamState
  /** The defaults of access, as `$settings` says. */
  readonly settings: AccessSettings
  /** The first event in the log that a condition forbids; LOOK_AGAIN when the log was searched too early. */
  match(condition: MatchCondition): Match | LookAgain | undefined
  /** The position that an id names, when this log made it. */
  placeOfId(id: Buffer): number | undefined
}

export class PlanningView {
  /** Events planned so far, in order: what will be committed. */
  readonly planned: PlacedEvent[] = []
  readonly created: number
  readonly #heads = new Map<string, number>()
  readonly #states = new Map<string, StreamState>()
  readonly #known = new Map<string, KnownEvent>()
  readonly #next: number
  readonly #committed: Committed
  #settings: AccessSettings

  /**
   * @param next the position the next record gets
   * @param created the instant of this commit, milliseconds
   */
  constructor(next: number, created: number, committed: Committed) {
    this.#next = next
    this.created = created
    this.#committed = committed
    this.#settings = committed.settings
  }

  /** Number of the stream's last event, hidden or not; -1 when there is none. */
  head(stream: string): number {
    return this.#heads.get(stream) ?? this.#committed.head(stream)
  }

  state(stream: string): StreamState {
    return this.#states.get(stream) ?? this.#committed.state(stream)
  }

  /** Whether somebody may do something, as the log stands now. */
  permits(principal: Principal, action: Action, stream: string): boolean {
    const right = rightFor(action, stream)
    return permits(principal, right, this.state(right.stream).metadata.acl, this.#settings)
  }

  known(stream: string, id: Buffer): KnownEvent | undefined {
    return this.#known.get(idKey(stream, id))
  }

  /** True for an id that this log will make for an event that does not exist yet. */
  isOfTheFuture(id: Buffer): boolean {
    return (this.#committed.placeOfId(id) ?? -1) >= this.#next
  }

  /** The first event that a condition forbids, in the log or planned before; LOOK_AGAIN when the log was searched too early. */
  match(condition: MatchCondition): Match | LookAgain | undefined {
    const committed = this.#committed.match(condition)
    if (committed !== undefined) return committed
    if (this.#showsMore(condition.viewer?.principal)) return LOOK_AGAIN
    for (const { event, position } of this.planned) {
      if (position <= condition.after) continue
      const { viewer } = condition
      if (viewer !== undefined && !this.permits(viewer.principal, 'read', event.stream)) continue
      const record = new StoredRecord(position, event.record.bytes)
      if (condition.items.some((item) => itemMatches(item, record))) return { position, type: event.type }
    }
    return undefined
  }

  /**
   * Whether events of the log that were hidden before this commit may be seen after what is planned.
   * @param principal undefined: somebody who may read everything
   */
  #showsMore(principal: Principal | undefined): boolean {
    const { settings } = this.#committed
    const reads = (acl: Acl | undefined, by: AccessSettings, stream: string) =>
      principal === undefined || permits(principal, { action: 'read', stream }, acl, by)
    const usual = (by: AccessSettings) => reads(undefined, by, 'usual')
    if (usual(this.#settings) && !usual(settings)) return true
    // Its metadata may hide settings, or show them again: which ones are in force is not known before the commit.
    if (principal !== undefined && this.#states.has(SETTINGS)) return true
    for (const [stream, { metadata }] of this.#states) {
      const before = this.#committed.state(stream).metadata
      if (showsMore(before, metadata)) return true
      if (reads(metadata.acl, this.#settings, stream) && !reads(before.acl, settings, stream)) return true
    }
    return false
  }

  /** Notes an event that the log holds under an id that is to be appended. */
  remember(stream: string, record: StoredRecord): void {
    this.#known.set(idKey(stream, record.id), {
      number: record.number,
      position: record.position,
      created: record.created,
      sameContent: (other) => sameContent(record.bytes, other.bytes) || sameAsPrinted(record, other.bytes)
    })
  }

  /** Gives an event the next number of its stream and the next position of the log. */
  place(event: NewEvent): PlacedEvent {
    const { stream, id } = event
    const { bytes } = event.record
    const number = this.head(stream) + 1
    const position = this.#next + this.planned.length
    const placed = { event, number, position, created: this.created, replayed: false }
    this.planned.push(placed)
    this.#heads.set(stream, number)
    if (id !== undefined) {
      const sameAs = (other: UnplacedRecord) => sameContent(bytes, other.bytes)
      this.#known.set(idKey(stream, id), { number, position, created: this.created, sameContent: sameAs })
    }
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

function idKey(stream: string, id: Buffer): string {
  return id.toString('latin1') + stream
}
