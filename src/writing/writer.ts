/**
 * The single writer. Appends wait in one queue; the loop takes all that waits, plans each purely, commits them in one
 * synced batch, and answers after it. While a commit is on its way to the disk the next appends gather.
 *
 * Whatever changes the log or its index has the writer's turn: a commit with its indexing is one turn, recovery is
 * another, and the next begins when the one before has ended.
 */

import type { AccessRules } from '../access/rules.js'
import { DaybookError, isDaybookError } from '../errors.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { limits } from '../limits.js'
import type { Log } from '../log/log.js'
import type { ReadOnlyMode } from '../log/read-only-mode.js'
import { refusedByFullDisk } from '../log/storage-faults.js'
import type { Metrics } from '../metrics.js'
import type { Clock } from '../time/clock.js'
import { CommitLoader, type SearchedRequest } from './commit-loader.js'
import { CommitWriter, type SystemFollower } from './commit-writer.js'
import type { EarlySearch, EventSearch } from './event-search.js'
import type { AppendResult } from './plan/plan-append.js'
import { planCommit } from './plan/plan-commit.js'
import type { DeleteResult } from './plan/plan-delete.js'
import { LookedTooEarly } from './plan/refusals.js'
import type { AppendAll, AppendRequest, DeleteRequest, WriteRequest } from './plan/write-request.js'

type Result = AppendResult | DeleteResult

/** A request in the queue. */
interface QueuedRequest extends SearchedRequest {
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
  search: EventSearch
  clock: Clock
  metrics: Metrics
  readOnlyMode: ReadOnlyMode
}

/** How often the conditions of an append are looked at before its turn, at most. */
const LOOKS_MAX = 4

export class Writer {
  readonly #log: Log
  readonly #postings: Postings
  readonly #search: EventSearch
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #readOnlyMode: ReadOnlyMode
  readonly #loader: CommitLoader
  readonly #commits: CommitWriter
  readonly #queue: QueuedRequest[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined
  /** Resolves when the turn that was asked for last has ended. */
  #turn: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(parts: WriterParts) {
    this.#log = parts.log
    this.#postings = parts.postings
    this.#search = parts.search
    this.#clock = parts.clock
    this.#metrics = parts.metrics
    this.#readOnlyMode = parts.readOnlyMode
    this.#loader = new CommitLoader(parts)
    this.#commits = new CommitWriter(parts)
  }

  /** They hear of every event of a system stream, and of the end of every stream. */
  get followers(): SystemFollower[] {
    return this.#commits.followers
  }

  /** Appends that wait for the next commit. */
  get queued(): number {
    return this.#queue.length
  }

  /**
   * Appends events and resolves when they are on disk.
   * @throws `overloaded` when too many wait; `wrong-expected-version`, `events-match`, `stream-deleted`,
   * `event-id-reused`, `idempotency-key-reused` or `partial-replay` when the plan refuses it, and then nothing of it was
   * written; `storage-failed` when the commit failed, and then nothing of it is acknowledged; `read-only` when the disk is
   * full, or nothing is written for another reason; `stopping` when the store is closing. Each says by `written` (false,
   * or `unknown`) whether it may be in the log
   */
  async append(request: AppendRequest): Promise<AppendResult> {
    let bytes = 0
    for (const event of request.events) bytes += event.record.bytes.length
    let weight = request.events.length
    if (request.kind === 'append') weight += request.conditions.length
    else if (request.kind === 'append-by-place') weight++
    if (request.kind === 'append' && request.matches !== undefined)
      return (await this.#decide(request, bytes, weight)) as AppendResult
    return (await this.#enqueue(request, undefined, bytes, weight)) as AppendResult
  }

  /**
   * Deletes a stream and resolves when that is on disk.
   * @throws as `append`, and `stream-not-found` when there is nothing to delete softly
   */
  async delete(request: DeleteRequest): Promise<DeleteResult> {
    return (await this.#enqueue(request, undefined, 0, 1)) as DeleteResult
  }

  /**
   * Appends under conditions on the log. The log is searched before the append is queued, so that in its turn the writer
   * searches only what was committed since. When old events may have become visible meanwhile, the log is searched again,
   * at most LOOKS_MAX times. The last time the append goes to the front of the queue, and what has become visible by its
   * turn is searched in its turn.
   */
  async #decide(request: AppendAll, bytes: number, weight: number): Promise<Result> {
    for (let look = 1; ; look++) {
      const last = look === LOOKS_MAX
      try {
        const searches = await this.#searchAhead(request, last)
        return await this.#enqueue(request, searches, bytes, weight, last)
      } catch (error) {
        if (last || !(error instanceof LookedTooEarly)) throw notWritten(error as Error)
      }
    }
  }

  /**
   * Searches the log for each condition. A match refuses nothing yet: the plan may find a replay, or other failed conditions.
   */
  async #searchAhead(request: AppendAll, last: boolean): Promise<EarlySearch[]> {
    const searches: EarlySearch[] = []
    for (const condition of request.matches ?? []) searches.push(await this.#search.ahead(condition, last))
    return searches
  }

  /** @param first puts the request at the front of the queue */
  #enqueue(
    request: WriteRequest,
    searches: readonly EarlySearch[] | undefined,
    bytes: number,
    weight: number,
    first = false
  ): Promise<Result> {
    if (this.#closed)
      return Promise.reject(new DaybookError('stopping', 'The server is stopping.', { written: false, retry: true }))
    if (this.#readOnlyMode.why !== undefined) return Promise.reject(this.#readOnly())
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
      this.#queue[first ? 'unshift' : 'push']({
        request,
        searches,
        bytes,
        weight,
        since: this.#clock.elapsed(),
        resolve,
        reject
      })
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
      if (behind || (isDaybookError(error) && error.code === 'storage-failed')) this.#readOnlyMode.begin(error as Error)
      for (const { reject } of group) reject(notWritten(error as Error))
    }
  }

  #readOnly(): DaybookError {
    return new DaybookError('read-only', `Nothing is written now (${this.#readOnlyMode.why}); reads go on.`, {
      written: false,
      retry: true
    })
  }

  /** The appends that go into the next commit: all that wait, within the bounds of one batch, at least one. */
  #take(): QueuedRequest[] {
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
  async #commitApart(group: readonly QueuedRequest[]): Promise<void> {
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
  async #commit(group: readonly QueuedRequest[]): Promise<void> {
    if (this.#readOnlyMode.why !== undefined) throw this.#readOnly()
    const instant = this.#clock.now()
    const snapshot = await this.#loader.load(group)
    const requests = group.map(({ request }) => request)
    const plan = planCommit(snapshot, requests, instant)
    const failure = plan.planned.length > 0 ? await this.#commits.write(plan, snapshot.heads) : undefined
    const now = this.#clock.elapsed()
    for (const [i, { resolve, reject, since }] of group.entries()) {
      const answer = plan.answers[i] as Result | DaybookError
      if (failure !== undefined) {
        // A refused append wrote nothing, but its refusal may rest on another append of this commit, which failed.
        reject(answer instanceof DaybookError ? notWritten(failure, true) : refusedByFullDisk(failure))
      } else if (answer instanceof DaybookError) {
        reject(answer)
      } else {
        this.#metrics.appended((now - since) / 1000)
        resolve(answer)
      }
    }
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
  if (details.written !== undefined && !anyway) return refusedByFullDisk(error)
  const retry = code === 'storage-failed' || details.retry === true
  return refusedByFullDisk(new DaybookError(code, message, { ...details, written: false, retry }, cause))
}
