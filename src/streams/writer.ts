/**
 * The single writer. Appends wait in one queue; the loop takes all that waits, plans each purely, commits them in one
 * synced batch, and answers after it. While a commit is on its way to the disk the next appends gather.
 */
import type { Clock } from '../clock.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { family, type ListHead, StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { ListName, Postings } from '../log/postings.js'
import type { Metrics } from '../metrics.js'
import { refusedWhenOver } from './access.js'
import type { AccessRules } from './access-rules.js'
import { type AppendRequest, type AppendResult, planAppend } from './append.js'
import { AUDIT } from './audit.js'
import { type DeleteRequest, type DeleteResult, planDelete } from './delete.js'
import type { LookAgain, Match, MatchCondition, Matches } from './matches.js'
import { TOMBSTONE_TYPE } from './metadata.js'
import { isMetastream, isSystemStream, metastreamOf, originalOf } from './names.js'
import { type PlacedEvent, PlanningView } from './planning-view.js'
import { applyAll, type Poster } from './posting.js'
import { LookedTooEarly } from './refusals.js'
import type { Standstill } from './standstill.js'
import { PLAIN_STATE, type StreamState, type StreamStates } from './states.js'

/** What the plans of one commit ask for, as it is before it: only the writer changes it. */
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
  /** @param ruled other people may do other things to the stream that it describes, or ends */
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
   * is full; `stopping` when the store is closing
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
   * Appends under conditions on the log. They are looked at before the append waits for its turn: then the writer has
   * only what was committed since to look at. When what they can see grows meanwhile, they are looked at again. The last
   * look stands whatever follows: such an append is the next, and what its look lacks is looked for in its turn.
   */
  async #decide(request: AppendRequest, bytes: number, weight: number): Promise<Result> {
    for (let look = 1; ; look++) {
      const last = look === LOOKS_MAX
      try {
        return await this.#enqueue(await this.#lookAhead(request, last), bytes, weight, last)
      } catch (error) {
        if (last || !(error instanceof LookedTooEarly)) throw unwritten(error)
      }
    }
  }

  /**
   * What is found here stands in the way of the plan too, which may find a replay or other failed conditions beside it.
   */
  async #lookAhead(request: AppendRequest, last: boolean): Promise<AppendRequest> {
    const matches: MatchCondition[] = []
    for (const condition of request.matches ?? []) matches.push(await this.#matches.lookAhead(condition, last))
    return { ...request, matches }
  }

  /** @param first it goes before those that wait */
  #enqueue(request: Request, bytes: number, weight: number, first = false): Promise<Result> {
    if (this.#closed)
      return Promise.reject(new DaybookError('stopping', 'The server is stopping.', { written: false, retry: true }))
    if (this.#standstill.why !== undefined) return Promise.reject(this.#readOnly())
    if (this.#queue.length >= limits.append_queue_max || this.#queuedBytes + bytes > limits.append_queue_bytes_max) {
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

  /** Refuses new appends and waits until those that were taken are answered. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #run(): Promise<void> {
    // A turn of the event loop first: the requests that have arrived together are committed together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0) {
      const group = this.#take()
      try {
        if (this.#standstill.why !== undefined) throw this.#readOnly()
        await this.#commitApart(group)
      } catch (error) {
        // Whatever went wrong: nothing is planned on an index that lacks what the log has.
        const behind = this.#postings.appliedTo < this.#log.head
        if (behind || (isDaybookError(error) && error.code === 'storage-failed')) this.#standstill.begin(error as Error)
        for (const { reject } of group) reject(error as Error)
      }
    }
    this.#running = undefined
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

  /** Commits a group together. One that meets damage in the index is refused alone: the others are committed without it. */
  async #commitApart(group: readonly Waiting[]): Promise<void> {
    const { head } = this.#log
    try {
      await this.#commit(group)
    } catch (cause) {
      const damaged = isDaybookError(cause) && cause.code === 'index-damaged' && this.#log.head === head
      if (!damaged) throw cause
      if (group.length > 1) for (const one of group) await this.#commitApart([one])
      else group[0]?.reject(unwritten(cause))
    }
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const created = Math.max(this.#clock.now(), this.#log.lastCreated)
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
      // Who is no more when it is their turn writes nothing.
      const principal = request.by?.principal ?? ('askedBy' in request ? request.askedBy : undefined)
      const gone = principal && refusedWhenOver(principal, this.#clock.now())
      return gone ?? ('events' in request ? planAppend(request, view) : planDelete(request, view))
    })
    if (view.planned.length > 0) {
      const started = this.#clock.elapsed()
      const first = await this.#log.commit(view.planned, created)
      if (first !== view.planned[0]?.position)
        throw new Error(`planned ${view.planned[0]?.position}, committed at ${first}`)
      this.#metrics.committed(view.planned.length, (this.#clock.elapsed() - started) / 1000)
      await this.#index(view.planned)
    }
    const now = this.#clock.elapsed()
    for (const [i, { resolve, reject, since }] of group.entries()) {
      const answer = answers[i] as Result | DaybookError
      if (answer instanceof DaybookError) {
        reject(answer)
        continue
      }
      this.#metrics.appended((now - since) / 1000)
      resolve(answer)
    }
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
      for (const [kind, stream] of part) heads.set(stream, this.#postings.headInMemory(kind, stream) ?? null)
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

  /** Where events with these ids may stand: where the id says, or where the index has it. */
  async #placesOf(asked: readonly { streamId: number; id: Buffer }[]): Promise<number[][]> {
    const named = asked.map(({ id }) => this.#log.placeOfId(id))
    const indexed = await this.#postings.positionsOfIds(asked)
    return indexed.map((positions, i) => {
      const place = named[i]
      return place === undefined || place > this.#log.head ? positions : [...positions, place]
    })
  }

  /** The index follows before anybody is answered: whoever appended reads their own writes. */
  async #index(planned: readonly PlacedEvent[]): Promise<void> {
    const records = planned.map(({ event, position }) => new StoredRecord(position, event.record.bytes))
    const postings = records.map((record, i) => {
      const { event } = planned[i] as PlacedEvent
      return this.#poster.postingOf(record, event.stream, event.type)
    })
    await applyAll(this.#postings, postings)
    for (const [i, { event }] of planned.entries()) {
      const { stream } = event
      const record = records[i] as StoredRecord
      if (!record.tombstone && !isSystemStream(stream)) continue
      const described = record.tombstone || isMetastream(stream)
      const ruled = described && this.#states.committed(record, stream)
      for (const follower of this.followers) follower.committed(stream, record, ruled)
    }
    this.#log.announce()
    if (this.#postings.congested) await this.#postings.flush().catch(this.#postings.onWriteFailed)
  }
}

/** Damage that was met before anything was written. */
function unwritten(cause: unknown): Error {
  if (!isDaybookError(cause) || 'written' in cause.details) return cause as Error
  return new DaybookError(cause.code, cause.message, { ...cause.details, written: false, retry: false }, cause)
}
