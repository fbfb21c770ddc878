/**
 * The single writer. Write requests wait in one queue. A loop takes a group of them, plans each with pure functions,
 * commits them in one synced batch, and then answers them. The next requests gather while a commit is being synced.
 *
 * Every change of the log or its index runs in a turn of the writer. A commit with its index update is one turn,
 * recovery is another. Turns never overlap.
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
import { SearchOutdated } from './plan/refusals.js'
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

/** The most early searches for the conditions of one append. */
const SEARCHES_MAX = 4

export class Writer {
  readonly #log: Log
  readonly #postings: Postings
  readonly #search: EventSearch
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #readOnlyMode: ReadOnlyMode
  readonly #loader: CommitLoader
  readonly #commits: CommitWriter
  /** Bytes of the appends that are not answered yet. */
  readonly #memory: MemoryShare
  readonly #queue = new AppendQueue()
  #running: Promise<void> | undefined
  /** Resolves when the last requested turn has ended. */
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

  /** Followers receive every event of a system stream and every tombstone. Push to this array to add one. */
  get followers(): SystemFollower[] {
    return this.#commits.followers
  }

  /** The number of requests in the queue. */
  get queued(): number {
    return this.#queue.length
  }

  /** The greatest number of requests that have been in the queue at once. */
  get mostQueued(): number {
    return this.#queue.longest
  }

  /**
   * Appends events and resolves when they are on disk. The `written` detail of each error is false when nothing was
   * written, or `unknown` when the events may be in the log.
   * @param gone aborts the search for conditions when the client disconnects; an append in the queue is still written
   * @throws DaybookError `overloaded` when too many requests or too many bytes are waiting; `wrong-expected-version`,
   * `events-match`, `stream-deleted`, `event-id-reused`, `idempotency-key-reused` or `partial-replay` when the plan
   * refuses the append; `storage-failed` when the commit failed; `read-only` when the disk is full or the store is
   * read-only for another reason; `stopping` when the store is closing
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
   * Deletes a stream and resolves when the delete is on disk.
   * @throws DaybookError as `append`, and `stream-not-found` for a soft delete of a stream that was never written
   */
  async delete(request: DeleteRequest): Promise<DeleteResult> {
    return (await this.#enqueue({ request, searches: undefined }, DELETE_SIZE)) as DeleteResult
  }

  /**
   * Appends under conditions on events. The log is searched before the append is queued, so that the writer's turn
   * searches only the events committed since. If old events may have become visible meanwhile, the early search is
   * repeated, at most SEARCHES_MAX times in all. The last time the append goes to the front of the queue, and its turn
   * searches again if still more events became visible.
   */
  async #decide(request: AppendAll, size: RequestSize, gone: AbortSignal | undefined): Promise<WriteResult> {
    for (let attempt = 1; ; attempt++) {
      const last = attempt === SEARCHES_MAX
      try {
        const searches = await this.#searchAhead(request, last, gone)
        return await this.#enqueue({ request, searches }, size, last)
      } catch (error) {
        if (last || !(error instanceof SearchOutdated)) throw notWritten(error as Error)
      }
    }
  }

  /**
   * Searches the log for each condition on events. A match does not refuse the append yet: the plan may find that it is
   * a replay, or that other conditions failed too.
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
   * Runs `work` in a turn of its own: no commit and no other turn runs meanwhile. The work must not wait for an append,
   * which would be a deadlock.
   * @returns the result of `work`; rejects as it does
   */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }

  /** Refuses new requests, and resolves when all queued requests are answered and every turn has ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
    await this.#turn
  }

  async #run(): Promise<void> {
    // Yield once to the event loop, so that requests that arrived together are committed together.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#queue.length > 0) await this.inTurn(() => this.#commitNext())
    this.#running = undefined
  }

  async #commitNext(): Promise<void> {
    const group = this.#queue.take()
    try {
      await this.#commitApart(group)
    } catch (error) {
      // After any error: while the index is behind the log, no append may be planned from it.
      const behind = this.#postings.appliedTo !== this.#log.head
      if (behind || (isDaybookError(error) && error.code === 'storage-failed')) this.#readOnlyMode.begin(error as Error)
      for (const { reject } of group) reject(notWritten(error as Error))
    }
  }

  #readOnly(): DaybookError {
    const message = `The store is read-only (${this.#readOnlyMode.why}). Reads still work; try again later.`
    return new DaybookError('read-only', message, { written: false, retry: true })
  }

  /**
   * Commits a group of requests together. If loading fails because of one request (it meets damage, or needs too many
   * bytes), commits each request by itself, so that only the faulty one is refused.
   */
  async #commitApart(group: readonly QueuedRequest[]): Promise<void> {
    const { head } = this.#log
    try {
      await this.#commit(group)
    } catch (cause) {
      const isFaultOfRequest = isDaybookError(cause) && REFUSED_ALONE.has(cause.code)
      if (!isFaultOfRequest || this.#log.head !== head) throw cause
      if (group.length > 1) for (const one of group) await this.#commitApart([one])
      else group[0]?.reject(notWritten(cause))
    }
  }

  /** Commits the group and answers each of its requests. Throws when nothing was written and none was answered. */
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
        // A refused append wrote nothing, but its refusal may depend on another append of this failed commit.
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
 * Plans a commit, and yields to the event loop when there is much to plan. Yielding is safe, because nothing else
 * changes the store during the writer's turn.
 */
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

/** Codes of the errors that one request of a group can cause while its snapshot is loaded. */
const REFUSED_ALONE = new Set<ErrorCode>(['index-damaged', 'log-damaged', 'event-id-reused'])

/**
 * Returns the error to answer for an append of which nothing was written: it gets the detail `written: false`.
 * @param anyway replaces a `written` detail that the error has already; without it, such an error keeps its own
 */
function notWritten(error: Error, anyway = false): DaybookError {
  if (!isDaybookError(error))
    return new DaybookError('internal', error.message, { written: false, retry: false }, error)
  const { code, message, details, cause } = error
  if (details.written !== undefined && !anyway) return refusedByFullDisk(error)
  const retry = code === 'storage-failed' || details.retry === true
  return refusedByFullDisk(new DaybookError(code, message, { ...details, written: false, retry }, cause))
}
