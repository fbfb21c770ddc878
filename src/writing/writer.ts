/**
 * The single writer. Appends wait in one queue; the loop takes all that waits, plans each purely, commits them in one
 * synced batch, and answers after it. While a commit is on its way to the disk the next appends gather.
 *
 * Whatever changes the log or its index has the writer's turn: a commit with its indexing is one turn, recovery is
 * another, and the next begins when the one before has ended.
 */

import { AUDIT } from '../access/audit.js'
import { refusedWhenOver } from '../access/permissions.js'
import type { AccessRules } from '../access/rules.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { applyAll, loadAll } from '../index/apply-batch.js'
import type { Poster } from '../index/index-entries.js'
import type { ListName, Posting } from '../index/posting.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { limits } from '../limits.js'
import { family, type ListHead, recordKind, StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { Standstill } from '../log/read-only-mode.js'
import type { Metrics } from '../metrics.js'
import { TOMBSTONE_TYPE } from '../streams/metadata.js'
import { isMetastream, isSystemStream, metastreamOf, originalOf } from '../streams/names.js'
import { PLAIN_STATE, type StreamState } from '../streams/stream-state.js'
import type { Clock } from '../time/clock.js'
import type { LookAgain, Match, MatchCondition, Matches } from './event-conditions.js'
import { type AppendRequest, type AppendResult, planAppend } from './plan-append.js'
import { type DeleteRequest, type DeleteResult, planDelete } from './plan-delete.js'
import { type PlacedEvent, PlanningView } from './planning-view.js'
import { LookedTooEarly } from './refusals.js'

/** What the plans of one commit ask for, as it is before the commit: only the writer changes it. */
interface Loaded {
  readonly heads: ReadonlyMap<string, ListHead | null>
  /** Of the few streams that have one. */
  readonly states: ReadonlyMap<string, StreamState>
  /** The first event in the way of each condition on the log. */
  readonly matches: ReadonlyMap<MatchCondition, Match | LookAgain>
}

/** What a plan takes, and what it answers. */
type Request = AppendRequest | DeleteRequest
type Result = AppendResult | DeleteResult

interface Waiting {
  readonly request: Request
  readonly bytes: number
  /** Events and conditions: each may ask for a head. */
  readonly weight: number
  readonly since: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: Error) => void
}

export interface WriterParts {
  log: Log
  postings: Postings
  poster: Poster
  states: StreamStates
  rules: AccessRules
  matches: Matches
  clock: Clock
  metrics: Metrics
  standstill: Standstill
}

/** Keeps what events of system streams say: called with each, in order, before whoever wrote it is answered. */
export interface SystemFollower {
  /** @param ruled rights to the stream that the record describes or ends may have changed */
  committed(stream: string, record: StoredRecord, ruled: boolean): void
}

/** How often the conditions of an append are looked at before its turn, at most. */
const LOOKS_MAX = 4

export class Writer {
  /** They hear of every event of a system stream, and of the end of every stream. */
  readonly followers: SystemFollower[]
  readonly #log: Log
  readonly #postings: Postings
  readonly #poster: Poster
  readonly #states: StreamStates
  readonly #rules: AccessRules
  readonly #matches: Matches
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #standstill: Standstill
  readonly #queue: Waiting[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined
  /** Resolves when the turn that was asked for last has ended. */
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(parts: WriterParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.#poster = parts.poster
    this.#states = parts.states
    this.#rules = parts.rules
    this.followers = [parts.rules]
    this.#matches = parts.matches
    this.#clock = parts.clock
    this.#metrics = parts.metrics
    this.#standstill = parts.standstill
  }

  /** Appends that wait for the next commit. */
  get queued(): number {
    return this.#queue.length
  }

  /**
   * Appends events and resolves when they are on disk.
   * @throws `overloaded` when too many wait; `wrong-expected-version`, `events-match`, `stream-deleted`,
   * `event-id-reused`, `idempotency-key-reused` or `partial-replay` when the plan refuses it, and then nothing of it was
   * written; `storage-failed` when the commit failed, and then nothing of it is acknowledged; `read-only` while the disk
   * is full; `stopping` when the store is closing. Each says by `written` (false, or `unknown`) whether it may be in the
   * log
   */
  async append(request: AppendRequest): Promise<AppendResult> {
    let bytes = 0
    for (const event of request.events) bytes += event.record.bytes.length
    const weight = request.events.length + request.conditions.length
    if (request.matches === undefined) return (await this.#enqueue(request, bytes, weight)) as AppendResult
    return (await this.#decide(request, bytes, weight)) as AppendResult
  }

  /**
   * Deletes a stream and resolves when that is on disk.
   * @throws as `append`, and `stream-not-found` when there is nothing to delete softly
   */
  async delete(request: DeleteRequest): Promise<DeleteResult> {
    return (await this.#enqueue(request, 0, 1)) as DeleteResult
  }

  /**
   * Appends under conditions on the log. The log is searched before the append is queued, so that in its turn the writer
   * searches only what was committed since. When old events may have become visible meanwhile, the log is searched again,
   * at most LOOKS_MAX times. The last time the append goes to the front of the queue, and what has become visible by its
   * turn is searched in its turn.
   */
  async #decide(request: AppendRequest, bytes: number, weight: number): Promise<Result> {
    for (let look = 1; ; look++) {
      const last = look === LOOKS_MAX
      try {
        return await this.#enqueue(await this.#lookAhead(request, last), bytes, weight, last)
      } catch (error) {
        if (last || !(error instanceof LookedTooEarly)) throw notWritten(error as Error)
      }
    }
  }

  /**
   * Searches the log for each condition. A match refuses nothing yet: the plan may find a replay, or other failed conditions.
   */
  async #lookAhead(request: AppendRequest, last: boolean): Promise<AppendRequest> {
    const matches: MatchCondition[] = []
    for (const condition of request.matches ?? []) matches.push(await this.#matches.lookAhead(condition, last))
    return { ...request, matches }
  }

  /** @param first puts the request at the front of the queue */
  #enqueue(request: Request, bytes: number, weight: number, first = false): Promise<Result> {
    if (this.#closed)
      return Promise.reject(new DaybookError('stopping', 'The server is stopping.', { written: false, retry: true }))
    if (this.#standstill.why !== undefined) return Promise.reject(this.#readOnly())
    // One append always has room in an empty queue.
    const isFull = this.#queuedBytes > 0 && this.#queuedBytes + bytes > limits.append_queue_bytes_max
    if (isFull || this.#queue.length >= limits.append_queue_max) {
      return Promise.reject(
        new DaybookError('overloaded', `${this.#queue.length} appends are waiting for the disk.`, {
          written: false,
          retry: true
        })
      )
    }
    return new Promise((resolve, reject) => {
      this.#queue[first ? 'unshift' : 'push']({ request, bytes, weight, since: this.#clock.elapsed(), resolve, reject })
      this.#queuedBytes += bytes
      this.#running ??= this.#run()
    })
  }

  /**
   * Does some work in a turn of its own: no commit is planned, written or indexed meanwhile, and no other work is done.
   * The work must not wait for an append. @returns what it returns, or throws
   */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Refuses new appends and waits until those that were taken are answered, and every turn has ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
    await this.#turn
  }

  async #run(): Promise<void> {
    // A turn of the event loop first: the requests that have arrived together are committed together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0) await this.inTurn(() => this.#commitNext())
    this.#running = undefined
  }

  async #commitNext(): Promise<void> {
    const group = this.#take()
    try {
      await this.#commitApart(group)
    } catch (error) {
      // Whatever went wrong: nothing is planned on an index that lacks what the log has.
      const behind = this.#postings.appliedTo !== this.#log.head
      if (behind || (isDaybookError(error) && error.code === 'storage-failed')) this.#standstill.begin(error as Error)
      for (const { reject } of group) reject(notWritten(error as Error))
    }
  }

  #readOnly(): DaybookError {
    return new DaybookError('read-only', `Nothing is written now (${this.#standstill.why}); reads go on.`, {
      written: false,
      retry: true
    })
  }

  /** The appends that go into the next commit: all that wait, within the bounds of one batch, at least one. */
  #take(): Waiting[] {
    let bytes = 0
    let weight = 0
    let count = 0
    for (const { bytes: size, weight: more } of this.#queue) {
      bytes += size
      weight += more
      if (count > 0 && (bytes > limits.commit_bytes_max || weight > limits.commit_events_max)) break
      count++
    }
    const group = this.#queue.splice(0, count)
    for (const { bytes: size } of group) this.#queuedBytes -= size
    return group
  }

  /** Commits a group together. One that meets damage in the index or the log is refused alone: the others are committed without it. */
  async #commitApart(group: readonly Waiting[]): Promise<void> {
    const { head } = this.#log
    try {
      await this.#commit(group)
    } catch (cause) {
      const isDamage = isDaybookError(cause) && (cause.code === 'index-damaged' || cause.code === 'log-damaged')
      if (!isDamage || this.#log.head !== head) throw cause
      if (group.length > 1) for (const one of group) await this.#commitApart([one])
      else group[0]?.reject(notWritten(cause))
    }
  }

  /** Answers every append of the group, or throws when nothing of any was written. */
  async #commit(group: readonly Waiting[]): Promise<void> {
    if (this.#standstill.why !== undefined) throw this.#readOnly()
    const instant = this.#clock.now()
    const created = Math.max(instant, this.#log.lastCreated)
    const { heads, states, matches } = await this.#load(group)
    const view = new PlanningView(this.#log.head + 1, created, {
      head: (stream) => {
        const head = heads.get(stream)
        if (head === undefined) throw new Error(`the head of "${stream}" was not loaded`)
        return (head?.count ?? 0) - 1
      },
      state: (stream) => {
        const state = states.get(stream)
        if (state !== undefined) return state
        if (this.#states.describes(stream)) throw new Error(`the state of "${stream}" was not loaded`)
        return PLAIN_STATE
      },
      settings: this.#rules.settings,
      match: (condition) => matches.get(condition),
      placeOfId: (id) => this.#log.placeOfId(id)
    })
    await this.#loadKnownIds(group, heads, view)

    const answers = group.map(({ request }) => {
      // The account or token may have been revoked while the request was queued.
      const principal = request.by?.principal ?? ('askedBy' in request ? request.askedBy : undefined)
      const gone = principal && refusedWhenOver(principal, instant)
      return gone ?? ('events' in request ? planAppend(request, view) : planDelete(request, view))
    })
    let failure: Error | undefined
    if (view.planned.length > 0) {
      this.#checkPlaces(view.planned, heads)
      failure = await this.#write(view.planned, created)
    }
    const now = this.#clock.elapsed()
    for (const [i, { resolve, reject, since }] of group.entries()) {
      const answer = answers[i] as Result | DaybookError
      if (failure !== undefined) {
        // A refused append wrote nothing, but its refusal may rest on another append of this commit, which failed.
        reject(answer instanceof DaybookError ? notWritten(failure, true) : failure)
      } else if (answer instanceof DaybookError) {
        reject(answer)
      } else {
        this.#metrics.appended((now - since) / 1000)
        resolve(answer)
      }
    }
  }

  /**
   * Checks, before anything is written, that positions and numbers follow on those that the log and the index have now,
   * and on each other. A wrong number in the log can never be mended.
   * @throws `internal` when they do not
   */
  #checkPlaces(planned: readonly PlacedEvent[], heads: Loaded['heads']): void {
    let position = this.#log.head
    if (this.#postings.appliedTo !== position)
      throw outOfPlace(`the index has events up to ${this.#postings.appliedTo}, the log up to ${position}`)
    const next = new Map<string, number>()
    let last: string | undefined
    let number = 0
    for (const { event, number: planAt, position: planPosition } of planned) {
      const { stream } = event
      if (stream !== last) {
        if (last !== undefined) next.set(last, number)
        last = stream
        number = next.get(stream) ?? this.#countNow(stream, heads)
      }
      if (planAt !== number || planPosition !== ++position)
        throw outOfPlace(`"${stream}" was to get number ${planAt} at ${planPosition}; ${number} at ${position} is next`)
      number++
    }
  }

  /** How many events a stream has. When its head has left memory since it was loaded, the loaded one is still right. */
  #countNow(stream: string, heads: Loaded['heads']): number {
    const head = this.#postings.headInMemory(family.stream, stream)
    return (head === undefined ? heads.get(stream) : head)?.count ?? 0
  }

  /**
   * Writes to the log, and takes it into the index.
   * @returns undefined on success; otherwise why the events may not be in the log, or cannot be read: the store is
   * read-only then
   * @throws when nothing was written
   */
  async #write(planned: readonly PlacedEvent[], created: number): Promise<Error | undefined> {
    const started = this.#clock.elapsed()
    let postings: Posting[] = []
    try {
      await this.#log.commit(planned, created, () => {
        postings = this.#postingsOf(planned)
        return loadAll(this.#postings, postings)
      })
    } catch (error) {
      if (!isDaybookError(error) || error.details.written !== 'unknown') throw error
      this.#standstill.begin(error)
      return error
    }
    this.#metrics.committed(planned.length, (this.#clock.elapsed() - started) / 1000)
    if (this.#log.witnessFailure !== undefined) this.#standstill.begin(this.#log.witnessFailure)
    try {
      await this.#index(planned, postings)
    } catch (cause) {
      // The events are in the log. They are acknowledged if the index can be brought up to it at once.
      this.#standstill.begin(cause as Error)
      if (await this.#standstill.tryToEnd()) return undefined
      const message = `the events may be in the log, but the index could not follow: ${(cause as Error).message}`
      return new DaybookError('storage-failed', message, { written: 'unknown', retry: true }, cause)
    }
    return undefined
  }

  /** Brings what the plans will ask for into memory: heads with one read, states of the few streams that have one. */
  async #load(group: readonly Waiting[]): Promise<Loaded> {
    const missing: ListName[] = []
    const stated = new Set<string>()
    const heads = new Map<string, ListHead | null>()
    const needHead = (stream: string) => {
      const head = this.#postings.headInMemory(family.stream, stream)
      if (head === undefined) missing.push([family.stream, stream])
      else heads.set(stream, head)
    }
    let last: string | undefined
    const need = (stream: string) => {
      if (stream === last) return
      last = stream
      needHead(stream)
      const original = isMetastream(stream) ? originalOf(stream) : stream
      if (original !== stream) needHead(original)
      if (!this.#states.concerns(original)) return
      stated.add(original)
      needHead(metastreamOf(original))
    }
    const conditions: MatchCondition[] = []
    for (const { request } of group) {
      if ('events' in request) {
        for (const { stream, type } of request.events) {
          need(stream)
          const told = isSystemStream(stream) || type === TOMBSTONE_TYPE
          if (request.by !== undefined && told) needHead(AUDIT)
        }
        for (const { stream } of request.conditions) need(stream)
        if (request.matches !== undefined) conditions.push(...request.matches)
      } else {
        need(request.stream)
        needHead(metastreamOf(request.stream))
        if (request.by !== undefined) needHead(AUDIT)
      }
    }
    for (let at = 0; at < missing.length; at += limits.heads_loaded_max) {
      const part = missing.slice(at, at + limits.heads_loaded_max)
      await this.#postings.load(part)
      for (const [kind, stream] of part) heads.set(stream, (await this.#postings.head(kind, stream)) ?? null)
    }
    const states = new Map<string, StreamState>()
    for (const stream of stated) states.set(stream, await this.#states.of(stream))
    const matches = new Map<MatchCondition, Match | LookAgain>()
    for (const condition of conditions) {
      const match = await this.#matches.firstSince(condition)
      if (match !== undefined) matches.set(condition, match)
    }
    return { heads, states, matches }
  }

  /** The events that the log holds under ids that are to be appended now. */
  async #loadKnownIds(group: readonly Waiting[], heads: Loaded['heads'], view: PlanningView): Promise<void> {
    const asked: { stream: string; streamId: number; id: Buffer }[] = []
    const ask = (stream: string, id: Buffer) => {
      const head = heads.get(stream)
      if (head) asked.push({ stream, streamId: head.id, id }) // a stream that was never written holds no id
    }
    for (const { request } of group) {
      if (!('events' in request)) continue
      for (const { stream, id } of request.events) if (id !== undefined) ask(stream, id)
      if (request.keyed !== undefined) ask(request.keyed.stream, request.keyed.nextId)
    }
    if (asked.length === 0) return
    const places = await this.#placesOf(asked)
    const records = await this.#log.readMany(places.flat())
    let next = 0
    for (const [i, { stream, id }] of asked.entries()) {
      for (let left = places[i]?.length ?? 0; left > 0; left--) {
        const record = records[next++] as StoredRecord
        if (record.id.equals(id) && record.stream === stream) view.remember(stream, record)
      }
    }
  }

  /** Positions at which events with these ids may stand: the one that the id names, and those that the index has. */
  async #placesOf(asked: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    const named = asked.map(({ id }) => this.#log.placeOfId(id))
    const indexed = await this.#postings.positionsOfIds(asked)
    return indexed.map((positions, i) => {
      const place = named[i]
      return place === undefined || place > this.#log.head ? positions : [...positions, place]
    })
  }

  #postingsOf(planned: readonly PlacedEvent[]): Posting[] {
    return planned.map(({ event, position }) =>
      this.#poster.postingOf(new StoredRecord(position, event.record.bytes), event.stream, event.type)
    )
  }

  /** The index follows before anybody is answered: whoever appended reads their own writes. */
  async #index(planned: readonly PlacedEvent[], postings: readonly Posting[]): Promise<void> {
    await applyAll(this.#postings, postings)
    for (const { event, position } of planned) {
      const { stream } = event
      const { bytes } = event.record
      if (bytes[1] !== recordKind.tombstone && !isSystemStream(stream)) continue
      const record = new StoredRecord(position, bytes)
      const described = record.tombstone || isMetastream(stream)
      const ruled = described && this.#states.committed(record, stream)
      for (const follower of this.followers) follower.committed(stream, record, ruled)
    }
    this.#log.announce()
    if (this.#postings.congested) await this.#postings.flush().catch(this.#postings.onWriteFailed)
  }
}

/**
 * The error for an append of which nothing was written. One that has `written` already stays as it is.
 * @param anyway replaces that too
 */
function notWritten(error: Error, anyway = false): DaybookError {
  if (!isDaybookError(error))
    return new DaybookError('internal', error.message, { written: false, retry: false }, error)
  const { code, message, details, cause } = error
  if (details.written !== undefined && !anyway) return error
  const retry = code === 'storage-failed' || details.retry === true
  return new DaybookError(code, message, { ...details, written: false, retry }, cause)
}

function outOfPlace(says: string): DaybookError {
  return new DaybookError('internal', `Nothing was written: ${says}.`, { written: false, retry: true })
}
