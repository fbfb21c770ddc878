/**
 * The single writer. Appends wait in one queue; the loop takes all that waits, plans each purely, commits them in one
 * synced batch, and answers after it. While a commit is on its way to the disk the next appends gather.
 *
 * Whatever changes the log or its index has the writer's turn: a commit with its indexing is one turn, recovery is
 * another, and the next begins when the one before has ended.
 */

import type { AccessRules } from '../access/rules.js'
import { DaybookError, type ErrorCode, isDaybookError } from '../errors.js'
import type { Poster } from '../index/index-entries.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import type { Log } from '../log/log.js'
import type { ReadOnlyMode } from '../log/read-only-mode.js'
import { refusedByFullDisk } from '../log/storage-faults.js'
import type { MemoryBudget } from '../memory/memory-budget.js'
import type { MemoryShare } from '../memory/memory-share.js'
import type { Metrics } from '../metrics.js'
import type { Clock } from '../time/clock.js'
import { nextTurn } from '../time/turns.js'
import {
  AppendQueue,
  DELETE_SIZE,
  type QueuedRequest,
  type RequestSize,
  sizeOfAppend,
  type WriteResult
} from './append-queue.js'
import { CommitLoader, type SearchedRequest } from './commit-loader.js'
import { CommitWriter, type SystemFollower } from './commit-writer.js'
import type { EarlySearch, EventSearch } from './event-search.js'
import type { CommitSnapshot } from './plan/commit-snapshot.js'
import type { AppendResult } from './plan/plan-append.js'
import { type CommitPlan, planInSteps } from './plan/plan-commit.js'
import type { DeleteResult } from './plan/plan-delete.js'
import { LookedTooEarly } from './plan/refusals.js'
import type { AppendAll, AppendRequest, DeleteRequest, WriteRequest } from './plan/write-request.js'

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
  memory: Pick<MemoryBudget, 'appends'>
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
  /** Bytes of appends that are not answered yet. */
  readonly #memory: MemoryShare
  readonly #queue = new AppendQueue()
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
    this.#memory = parts.memory.appends
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

  /** The most appends that have waited at once. */
  get mostQueued(): number {
    return this.#queue.longest
  }

  /**
   * Appends events and resolves when they are on disk.
   * @param gone when the client has left, its conditions are searched for no more; an append in the queue is made
   * @throws `overloaded` when too many wait, or their bytes are too many; `wrong-expected-version`, `events-match`,
   * `stream-deleted`, `event-id-reused`, `idempotency-key-reused` or `partial-replay` when the plan refuses it, and then
   * nothing of it was written; `storage-failed` when the commit failed, and then nothing of it is acknowledged; `read-only`
   * when the disk is full, or nothing is written for another reason; `stopping` when the store is closing. Each says by `written` (false, or `unknown`) whether it
   * may be in the log
   */
  async append(request: AppendRequest, gone?: AbortSignal): Promise<AppendResult> {
    const size = sizeOfAppend(request)
    if (!this.#memory.claim(size.bytes)) throw this.#memory.refusal()
    try {
      if (request.kind === 'append' && request.matches !== undefined)
        return (await this.#decide(request, size, gone)) as AppendResult
      return (await this.#enqueue({ request, searches: undefined }, size)) as AppendResult
    } finally {
      this.#memory.give(size.bytes)
    }
  }

  /**
   * Deletes a stream and resolves when that is on disk.
   * @throws as `append`, and `stream-not-found` when there is nothing to delete softly
   */
  async delete(request: DeleteRequest): Promise<DeleteResult> {
    return (await this.#enqueue({ request, searches: undefined }, DELETE_SIZE)) as DeleteResult
  }

  /**
   * Appends under conditions on the log. The log is searched before the append is queued, so that in its turn the writer
   * searches only what was committed since. When old events may have become visible meanwhile, the log is searched again,
   * at most LOOKS_MAX times. The last time the append goes to the front of the queue, and what has become visible by its
   * turn is searched in its turn.
   */
  async #decide(request: AppendAll, size: RequestSize, gone: AbortSignal | undefined): Promise<WriteResult> {
    for (let look = 1; ; look++) {
      const last = look === LOOKS_MAX
      try {
        const searches = await this.#searchAhead(request, last, gone)
        return await this.#enqueue({ request, searches }, size, last)
      } catch (error) {
        if (last || !(error instanceof LookedTooEarly)) throw notWritten(error as Error)
      }
    }
  }

  /**
   * Searches the log for each condition. A match refuses nothing yet: the plan may find a replay, or other failed conditions.
   */
  async #searchAhead(request: AppendAll, last: boolean, gone: AbortSignal | undefined): Promise<EarlySearch[]> {
    const searches: EarlySearch[] = []
    for (const condition of request.matches ?? []) searches.push(await this.#search.ahead(condition, last, gone))
    return searches
  }

  /** @param first puts the request at the front of the queue */
  #enqueue(searched: SearchedRequest, size: RequestSize, first = false): Promise<WriteResult> {
    if (this.#closed)
      return Promise.reject(new DaybookError('stopping', 'The server is stopping.', { written: false, retry: true }))
    if (this.#readOnlyMode.why !== undefined) return Promise.reject(this.#readOnly())
    return new Promise((resolve, reject) => {
      const { request, searches } = searched
      this.#queue.add({ request, searches, size, since: this.#clock.elapsed(), resolve, reject }, first)
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
    const group = this.#queue.take()
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

  /**
   * Commits a group together. One that cannot be planned, since it meets damage or asks for too much, is refused alone: the
   * others are committed without it.
   */
  async #commitApart(group: readonly QueuedRequest[]): Promise<void> {
    const { head } = this.#log
    try {
      await this.#commit(group)
    } catch (cause) {
      const isItsOwn = isDaybookError(cause) && REFUSED_ALONE.has(cause.code)
      if (!isItsOwn || this.#log.head !== head) throw cause
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
    const plan = await planWithTurns(snapshot, requests, instant)
    const failure = plan.planned.length > 0 ? await this.#commits.write(plan, snapshot.heads) : undefined
    const now = this.#clock.elapsed()
    for (const [i, { resolve, reject, since }] of group.entries()) {
      const answer = plan.answers[i] as WriteResult | DaybookError
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

/** Plans a commit, and gives others a turn when there is much to plan: nothing else changes the store in the writer's turn. */
async function planWithTurns(
  snapshot: CommitSnapshot,
  requests: readonly WriteRequest[],
  instant: number
): Promise<CommitPlan> {
  const steps = planInSteps(snapshot, requests, instant)
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
    await nextTurn()
  }
}

/** Thrown while the snapshot for a commit is loaded, because of one of its requests. */
const REFUSED_ALONE = new Set<ErrorCode>(['index-damaged', 'log-damaged', 'event-id-reused'])

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
