/**
 * The single writer. Appends wait in one queue; the loop takes all that waits, plans each purely, commits them in one
 * synced batch, and answers after it. While a commit is on its way to the disk the next appends gather.
 */
import type { Clock } from '../clock.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import { type Family, family } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { Posting, Postings } from '../log/postings.js'
import type { Metrics } from '../metrics.js'
import { type AppendRequest, type AppendResult, type PlacedEvent, PlanningView, planAppend } from './append.js'
import { categoryOf, isSystemStream } from './names.js'
import { listsOf } from './posting.js'
import type { Standstill } from './standstill.js'

interface Waiting {
  readonly request: AppendRequest
  readonly bytes: number
  readonly since: number
  readonly resolve: (result: AppendResult) => void
  readonly reject: (error: Error) => void
}

export class Writer {
  readonly #log: Log
  readonly #postings: Postings
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #standstill: Standstill
  readonly #queue: Waiting[] = []
  #queuedBytes = 0
  #running: Promise<void> | undefined
  #closed = false

  constructor(log: Log, postings: Postings, clock: Clock, metrics: Metrics, standstill: Standstill) {
    this.#log = log
    this.#postings = postings
    this.#clock = clock
    this.#metrics = metrics
    this.#standstill = standstill
  }

  /** Appends that wait for the next commit. */
  get queued(): number {
    return this.#queue.length
  }

  /**
   * Appends events and resolves when they are on disk.
   * @throws `overloaded` when too many wait; `wrong-expected-version`, `event-id-reused`, `idempotency-key-reused` or
   * `partial-replay` when the plan refuses it, and then nothing of it was written; `storage-failed` when the commit
   * failed, and then nothing of it is acknowledged; `read-only` while the disk is full; `stopping` when the store is
   * closing
   */
  append(request: AppendRequest): Promise<AppendResult> {
    if (this.#closed)
      return Promise.reject(new DaybookError('stopping', 'The server is stopping.', { written: false, retry: true }))
    if (this.#standstill.why !== undefined) return Promise.reject(this.#readOnly())
    let bytes = 0
    for (const event of request.events) bytes += event.record.bytes.length
    if (this.#queue.length >= limits.append_queue_max || this.#queuedBytes + bytes > limits.append_queue_bytes_max) {
      return Promise.reject(
        new DaybookError('overloaded', `${this.#queue.length} appends are waiting for the disk.`, {
          written: false,
          retry: true
        })
      )
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, bytes, since: this.#clock.elapsed(), resolve, reject })
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
        await this.#commit(group)
      } catch (error) {
        if (isDaybookError(error) && error.code === 'storage-failed') this.#standstill.begin(error)
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
    let events = 0
    let count = 0
    for (const { request, bytes: size } of this.#queue) {
      bytes += size
      events += request.events.length
      if (count > 0 && (bytes > limits.commit_bytes_max || events > limits.commit_events_max)) break
      count++
    }
    const group = this.#queue.splice(0, count)
    for (const { bytes: size } of group) this.#queuedBytes -= size
    return group
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    const created = Math.max(this.#clock.now(), this.#log.lastCreated)
    const view = new PlanningView(this.#log.head + 1, created, (stream) => this.#streamHead(stream))
    await this.#load(group, view)

    const answers = group.map(({ request }) => planAppend(request, view))
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
      const answer = answers[i] as AppendResult | DaybookError
      if (answer instanceof DaybookError) {
        reject(answer)
        continue
      }
      this.#metrics.appended((now - since) / 1000)
      resolve(answer)
    }
  }

  /** The heads and ids the plans will ask for, brought into memory with one read each. */
  async #load(group: readonly Waiting[], view: PlanningView): Promise<void> {
    const missing: [Family, string][] = []
    let last: string | undefined
    const need = (stream: string) => {
      if (stream === last) return
      last = stream
      if (this.#postings.headInMemory(family.stream, stream) === undefined) missing.push([family.stream, stream])
    }
    let withIds = false
    for (const { request } of group) {
      for (const event of request.events) {
        need(event.stream)
        withIds ||= event.id !== undefined
      }
      for (const { stream } of request.conditions) need(stream)
    }
    if (missing.length > 0) await this.#postings.load(missing)
    if (withIds) await this.#loadKnownIds(group, view)
  }

  async #loadKnownIds(group: readonly Waiting[], view: PlanningView): Promise<void> {
    const asked: { stream: string; streamId: number; id: Buffer }[] = []
    const ask = (stream: string, id: Buffer) => {
      const head = this.#postings.headInMemory(family.stream, stream)
      if (head) asked.push({ stream, streamId: head.id, id }) // a stream that was never written holds no id
    }
    for (const { request } of group) {
      for (const { stream, id } of request.events) if (id !== undefined) ask(stream, id)
      if (request.keyed !== undefined) ask(request.keyed.stream, request.keyed.nextId)
    }
    if (asked.length === 0) return
    const numbers = await this.#postings.numbersOfIds(asked)
    for (const [i, { stream }] of asked.entries()) {
      const number = numbers[i]
      if (number === undefined) continue
      const head = await this.#postings.head(family.stream, stream)
      if (head === undefined) throw new Error(`"${stream}" has ids but no head`)
      view.remember(stream, await this.#log.read(await this.#postings.position(family.stream, head, number)))
    }
  }

  #streamHead(stream: string): number {
    const head = this.#postings.headInMemory(family.stream, stream)
    if (head === undefined) throw new Error(`the head of "${stream}" was not loaded`)
    return head === null ? -1 : head.count - 1
  }

  /** The index follows before anybody is answered: whoever appended reads their own writes. */
  async #index(planned: readonly PlacedEvent[]): Promise<void> {
    const postings = toPostings(planned, this.#postings)
    const missing: [Family, string][] = []
    for (const posting of postings) if (!this.#postings.holdsHeadsOf(posting)) missing.push(...listsOf(posting))
    if (missing.length > 0) await this.#postings.load(missing)
    this.#postings.apply(postings)
    if (this.#postings.congested) await this.#postings.flush().catch(this.#postings.onWriteFailed)
  }
}

function toPostings(planned: readonly PlacedEvent[], kept: Postings): Posting[] {
  const categories = kept.keeps(family.category)
  const types = kept.keeps(family.type)
  // A batch is mostly of one stream, and its category is cut out of the name once.
  let lastStream: string | undefined
  let category: string | undefined
  let system = false
  return planned.map(({ event, position, number, created }) => {
    const { stream, id } = event
    if (stream !== lastStream) {
      lastStream = stream
      category = categories ? categoryOf(stream) : undefined
      system = isSystemStream(stream)
    }
    return { position, stream, category, type: types && !system ? event.type : undefined, created, id, number }
  })
}
