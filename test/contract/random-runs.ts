/** Random operations on a store under contract, against a model of arrays. The seed is printed. */
import type { Test } from 'tap'
import { eventually } from '../helpers/live-events.js'
import { type Random, seeded } from '../helpers/random.js'
import { Model, type ModelAnswer, type ModelEvent } from '../model/model.js'
import type {
  Appended,
  EventForStream,
  ExpectedVersion,
  Feature,
  LiveEvents,
  StoredEvent,
  StoreUnderTest
} from './store-contract.js'

const STREAMS = ['a', 'b-1', 'b-2', 'größe-漢']
const STEPS = 200

interface Attempt {
  readonly events: readonly EventForStream[]
  readonly conditions: readonly { stream: string; expected: ExpectedVersion }[]
  readonly several: boolean
}

type Has = (feature: Feature) => boolean

/** Appends under random expectations, retries and reads. Subscriptions give exactly what was appended. */
export async function randomAppends(t: Test, store: StoreUnderTest, has: Has): Promise<void> {
  const run = new RandomRun(t, store, has)
  const followed: [stream: string | undefined, live: LiveEvents][] = []
  if (has('subscriptions')) {
    for (const stream of [undefined, ...STREAMS]) followed.push([stream, await store.subscribe({ stream, after: -1 })])
  }
  for (let step = 0; step < STEPS && t.passing(); step++) {
    if (run.random.chance(0.7)) await run.append()
    else await run.read()
  }
  await run.readAll()
  t.ok(run.model.log.length > STEPS / 4, `${run.model.log.length} events were appended`)
  for (const [stream, live] of followed) {
    const wanted = stream === undefined ? run.model.log : run.model.stream(stream)
    await eventually(`${stream ?? 'the log'} was given whole`, () => live.events.length >= wanted.length)
    t.same(live.events.map(dataOf), wanted.map(dataOf), `the subscription to ${stream ?? 'the log'}`)
    await live.close()
  }
}

/** The same with metadata, deletes and tombstones. */
export async function randomRetention(t: Test, store: StoreUnderTest, has: Has): Promise<void> {
  const run = new RandomRun(t, store, has)
  for (let step = 0; step < STEPS && t.passing(); step++) {
    const what = run.random.next()
    if (what < 0.5) await run.append()
    else if (what < 0.7) await run.setMetadata()
    else if (what < 0.8) await run.delete()
    else await run.read()
  }
  await run.readAll()
  t.ok(run.model.log.length > STEPS / 5, `${run.model.log.length} events were appended`)
}

class RandomRun {
  readonly random: Random
  readonly model = new Model()
  readonly #t: Test
  readonly #store: StoreUnderTest
  readonly #has: Has
  readonly #attempts: Attempt[] = []
  /** Where the store said that events stand, by what their data counts. */
  readonly #positions = new Map<number, number | undefined>()
  #count = 0

  constructor(t: Test, store: StoreUnderTest, has: Has) {
    this.#t = t
    this.#store = store
    this.#has = has
    this.random = seeded(t)
  }

  async append(): Promise<void> {
    const { random } = this
    const again = this.#attempts.length > 0 && random.chance(0.2)
    const attempt = again ? this.#retryOf(random.pick(this.#attempts)) : this.#newAttempt()
    if (attempt.events[0]?.id !== undefined) this.#attempts.push(attempt)
    const { events, several } = attempt
    // A tombstone has a number, which the model does not count.
    const conditions = attempt.conditions.filter(
      ({ stream, expected }) => typeof expected !== 'number' || this.model.shown(stream) !== 'stream-deleted'
    )
    const wanted = this.model.append({
      events: events.map(({ stream, id, type, data }) => ({ stream, type, data, tags: [], ...(id && { id }) })),
      conditions: conditions.flatMap(({ stream, expected }) => (expected === 'any' ? [] : [{ stream, expected }]))
    })
    const [first] = events as [EventForStream]
    const answer = several
      ? this.#store.appendToStreams(events, conditions)
      : this.#store.append(first.stream, events, conditions[0]?.expected ?? 'any')
    await this.#compare(answer, wanted, attempt)
  }

  #newAttempt(): Attempt {
    const { random } = this
    const several = this.#has('append-to-streams') && random.chance(0.3)
    const stream = random.pick(STREAMS)
    const withIds = random.chance(0.5)
    const events = Array.from({ length: random.int(1, 4) }, () => ({
      stream: several ? random.pick(STREAMS) : stream,
      type: random.pick(['T', 'U']),
      data: { n: this.#count++ },
      ...(withIds && { id: random.uuid() })
    }))
    const named = several ? random.pick(STREAMS) : stream
    const last = this.model.stream(named).length - 1
    const close = Math.max(0, last + random.pick([0, 0, 0, -1, 1]))
    // Without exact ids, a stream that has only metadata, or was deleted, counts as one that exists.
    const expected = random.pick<ExpectedVersion>(['any', 'none', this.#has('exact-ids') ? 'exists' : 'any', close])
    return { events, conditions: [{ stream: named, expected }], several }
  }

  /** Without exact ids the expected version of a retry counts, and the model does not know the rules for that. */
  #retryOf(attempt: Attempt): Attempt {
    return this.#has('exact-ids') ? attempt : { ...attempt, conditions: [] }
  }

  async #compare(answer: Promise<Appended>, wanted: ModelAnswer, attempt: Attempt): Promise<void> {
    const what = JSON.stringify(attempt)
    if (wanted.status !== 201) return void (await this.#t.rejects(answer, { code: wanted.code }, what))
    const { events, replayed } = await answer
    this.#t.same(events.map(({ number }) => number), wanted.numbers, what) // biome-ignore format: one line
    if (replayed !== undefined) this.#t.equal(replayed, wanted.replayed, what)
    for (const [i, { position }] of events.entries()) {
      const n = countOf(attempt.events[i] as EventForStream)
      if (!wanted.replayed) this.#positions.set(n, position)
      else this.#t.equal(position, this.#positions.get(n), `${what} is answered as the first attempt`)
    }
  }

  async setMetadata(): Promise<void> {
    const { random } = this
    const stream = random.pick(STREAMS)
    const metadata = {
      ...(random.chance(0.5) && { maxCount: random.int(1, 8) }),
      ...(random.chance(0.5) && { truncateBefore: random.int(0, this.model.stream(stream).length + 1) })
    }
    await this.#change(
      this.#store.setMetadata(stream, metadata),
      this.model.setMetadata(stream, metadata),
      `metadata of ${stream} ${JSON.stringify(metadata)}`
    )
  }

  async delete(): Promise<void> {
    const { random } = this
    const stream = random.pick(STREAMS)
    const permanent = stream !== STREAMS[0] && random.chance(0.03)
    const last = this.model.stream(stream).length - 1
    const expected = last >= 0 && random.chance(0.3) ? last + random.int(0, 1) : 'any'
    await this.#change(
      this.#store.delete(stream, { permanent, expected }),
      this.model.delete(stream, permanent, expected),
      `delete of ${stream} ${JSON.stringify({ permanent, expected })}`
    )
  }

  async #change(done: Promise<void>, code: string | undefined, what: string): Promise<void> {
    if (code !== undefined) await this.#t.rejects(done, { code }, what)
    else await done.catch((error) => this.#t.fail(`${what}: ${error}`))
  }

  /** One read of a stream or of the log, in either order, with or without bounds. */
  async read(): Promise<void> {
    const { random } = this
    const stream = this.#has('log') && this.#has('positions') && random.chance(0.3) ? undefined : random.pick(STREAMS)
    const order = random.pick(['asc', 'desc'] as const)
    const limit = random.pick([undefined, 1, 7, 50])
    const all = stream === undefined ? this.model.log : this.model.stream(stream)
    const at = all.length > 0 && random.chance(0.5) ? random.pick(all) : undefined
    const from = at && (stream === undefined ? this.#positions.get(countOf(at)) : at.number)
    const what = `${stream ?? 'the log'} ${JSON.stringify({ from, order, limit })}`
    const shown = stream === undefined ? this.model.shownLog : this.model.shown(stream)
    if (!Array.isArray(shown)) {
      await this.#t.rejects(this.#store.readStream(stream as string, { from, order, limit }), { code: shown }, what)
      return
    }
    const place = (event: ModelEvent) => all.indexOf(event)
    const bound = at === undefined ? undefined : place(at)
    const ordered = order === 'asc' ? shown : shown.toReversed()
    const inside = ordered.filter(
      (event) => bound === undefined || (order === 'asc' ? place(event) >= bound : place(event) <= bound)
    )
    const range = { from, order, limit }
    const read = stream === undefined ? await this.#store.readLog(range) : await this.#store.readStream(stream, range)
    this.#same(read, inside.slice(0, limit), what)
  }

  /** Every stream and the log, in both orders. */
  async readAll(): Promise<void> {
    for (const order of ['asc', 'desc'] as const) {
      for (const stream of STREAMS) {
        const shown = this.model.shown(stream)
        const what = `${stream} ${order}, at the end`
        const read = this.#store.readStream(stream, { order })
        if (!Array.isArray(shown)) await this.#t.rejects(read, { code: shown }, what)
        else this.#same(await read, order === 'asc' ? shown : shown.toReversed(), what)
      }
      if (!this.#has('log')) continue
      const log = this.model.shownLog
      this.#same(await this.#store.readLog({ order }), order === 'asc' ? log : log.toReversed(), `the log ${order}`)
    }
  }

  #same(read: readonly StoredEvent[], wanted: readonly ModelEvent[], what: string): void {
    // The sign of a tombstone stands in the log, too.
    const own = read.filter(({ type }) => !type.startsWith('$'))
    this.#t.strictSame(own.map(shown), wanted.map(shown), what)
    for (const event of own) {
      const n = countOf(event)
      if (event.position !== this.#positions.get(n)) this.#t.fail(`${what}: event ${n} has position ${event.position}`)
    }
  }
}

const shown = ({ stream, number, type, data }: Pick<StoredEvent, 'stream' | 'number' | 'type' | 'data'>) => ({
  stream,
  number,
  type,
  data
})
const dataOf = ({ data }: { readonly data: unknown }) => data
const countOf = ({ data }: { readonly data: unknown }) => (data as { n: number }).n
