/**
 * What holds for every store of events, however it is reached: in this process, over HTTP, or through a client. The
 * promises are expressed in plain values. `storeContract` runs each of them on a store of its own.
 */
import { randomUUID } from 'node:crypto'
import type { Test } from 'tap'
import { eventually, turns } from '../helpers/live-events.js'
import { randomAppends, randomRetention } from './random-runs.js'

/** `any`; `none`: there is no event to see; `exists`: there is one; or the number of the stream's last event. */
export type ExpectedVersion = 'any' | 'none' | 'exists' | number

export interface EventToAppend {
  readonly type: string
  /** An object: some stores keep nothing else. */
  readonly data: object
  readonly metadata?: object | undefined
  readonly tags?: readonly string[] | undefined
  /** A UUID by which a retry is recognised. */
  readonly id?: string | undefined
}

export interface EventForStream extends EventToAppend {
  readonly stream: string
}

/** An event as it was read. */
export interface StoredEvent {
  readonly stream: string
  /** From 0, without gaps in its stream. */
  readonly number: number
  /** Rises in the order of appending over all streams; undefined where the store lacks `positions`. */
  readonly position: number | undefined
  readonly type: string
  readonly id: string
  readonly data: unknown
  readonly metadata: unknown
  readonly tags: readonly string[]
}

export interface Appended {
  /** One for each event, in their order. */
  readonly events: readonly Pick<StoredEvent, 'stream' | 'number' | 'position'>[]
  /** Nothing was written: the events were there. Undefined where the store does not say. */
  readonly replayed: boolean | undefined
}

export interface ReadRange {
  /** The first number, or position, to be read. Default: the start, or with `desc` the end. */
  readonly from?: number | undefined
  readonly order?: 'asc' | 'desc' | undefined
  /** Default: no limit. */
  readonly limit?: number | undefined
}

export interface Metadata {
  /** The stream shows this many of its last events. */
  readonly maxCount?: number | undefined
  /** The stream shows no event with a lower number. */
  readonly truncateBefore?: number | undefined
}

export interface DeleteOptions {
  readonly expected?: ExpectedVersion | undefined
  /** A tombstone: the stream cannot be appended to again. */
  readonly permanent?: boolean | undefined
}

/** What a subscription reads: a stream or the log, strictly after a number or position; -1: from the start. */
export interface SubscriptionSource {
  readonly stream?: string | undefined
  readonly after: number
}

export interface LiveEvents {
  /** The events that have come, in their order. */
  readonly events: readonly StoredEvent[]
  /** Nothing comes after it. */
  close(): Promise<void>
}

/**
 * A store as the contract uses it. Refusals reject with an error that has one of these as its `code`:
 * `wrong-expected-version`, `event-id-reused`, `partial-replay`, `stream-not-found`, `stream-deleted`.
 */
export interface StoreUnderTest {
  /** Appends all events or none. */
  append(stream: string, events: readonly EventToAppend[], expected?: ExpectedVersion): Promise<Appended>
  /** Appends to several streams, all events or none. */
  appendToStreams(
    events: readonly EventForStream[],
    conditions?: readonly { readonly stream: string; readonly expected: ExpectedVersion }[]
  ): Promise<Appended>
  readStream(stream: string, range?: ReadRange): Promise<StoredEvent[]>
  /** Reads events of all streams but system streams, whose names begin with `$`. */
  readLog(range?: ReadRange): Promise<StoredEvent[]>
  metadata(stream: string): Promise<Metadata>
  /** Replaces the metadata of a stream. */
  setMetadata(stream: string, metadata: Metadata): Promise<void>
  delete(stream: string, options?: DeleteOptions): Promise<void>
  subscribe(source: SubscriptionSource): Promise<LiveEvents>
}

/** What a store may lack. `exact-ids`: an id stands for one content, and an append of known and new ids is refused. */
export type Feature = 'append-to-streams' | 'log' | 'positions' | 'subscriptions' | 'tags' | 'exact-ids'

export type OpenStore = (t: Test) => Promise<StoreUnderTest>

type Promised = (t: Test, store: StoreUnderTest) => Promise<unknown>

/** Runs every promise on a store of its own. @param lacks features whose promises are left out */
export function storeContract(
  t: Test,
  name: string,
  open: OpenStore,
  lacks: readonly Feature[] = []
): Promise<unknown> {
  return t.test(name, async (t) => {
    for (const [title, promised, ...needs] of PROMISES) {
      const missing = needs.filter((feature) => lacks.includes(feature))
      if (missing.length > 0) t.comment(`${name} lacks ${missing.join(' and ')}: ${title}`)
      else await t.test(title, async (t) => promised(t, await open(t)))
    }
    const has = (feature: Feature) => !lacks.includes(feature)
    await t.test('random appends, retries and reads agree with a model', async (t) => {
      await randomAppends(t, await open(t), has)
    })
    await t.test('random appends, metadata, deletes and tombstones agree with a model', async (t) => {
      await randomRetention(t, await open(t), has)
    })
  })
}

/** Events that only their data tells apart, numbered from `first` on. */
export function some(count: number, first = 0): EventToAppend[] {
  return Array.from({ length: count }, (_, i) => ({ type: 'Counted', data: { n: first + i } }))
}

const withIds = (events: readonly EventToAppend[]) => events.map((event) => ({ ...event, id: randomUUID() }))
const numbersOf = (events: readonly { readonly number: number }[]) => events.map(({ number }) => number)
const placesOf = (events: readonly { readonly stream: string; readonly number: number }[]) =>
  events.map(({ stream, number }) => `${number}@${stream}`)
const countsOf = (events: readonly StoredEvent[]) => events.map(({ data }) => (data as { n: number }).n)
const upTo = (count: number) => [...Array(count).keys()]

const WRONG_VERSION = { code: 'wrong-expected-version' }
const NOT_FOUND = { code: 'stream-not-found' }
const DELETED = { code: 'stream-deleted' }

const PROMISES: readonly (readonly [title: string, promised: Promised, ...needs: Feature[]])[] = [
  // Appending
  ['the events of a stream are numbered from 0, without gaps and in the order of appending', async (t, store) => {
    t.same(numbersOf((await store.append('s', some(2))).events), [0, 1])
    t.same(numbersOf((await store.append('s', some(1, 2))).events), [2])
    t.same(numbersOf((await store.append('other', some(1))).events), [0], 'each stream has its own numbers')
    const events = await store.readStream('s')
    t.same([numbersOf(events), countsOf(events)], [upTo(3), upTo(3)])
  }],
  ['positions rise in the order of appending over all streams', async (t, store) => {
    const positions: number[] = []
    for (const stream of ['a', 'b', 'a', 'c']) {
      const { events } = await store.append(stream, some(2))
      positions.push(...events.map(({ position }) => position ?? Number.NaN))
    }
    t.same(positions, positions.toSorted((one, other) => one - other))
    t.equal(new Set(positions).size, 8, 'no two events have the same position')
  }, 'positions'],
  ['an event is read as it was appended', async (t, store) => {
    const id = randomUUID()
    const data = { text: 'ä漢😀"\\', list: [1, null, { a: true }], empty: {} }
    await store.append('größe-1/a b', [{ type: 'Größe geändert', data, metadata: { by: 'ann' }, id }])
    const [event] = await store.readStream('größe-1/a b')
    const wanted = { stream: 'größe-1/a b', number: 0, type: 'Größe geändert', data, metadata: { by: 'ann' }, id }
    t.match(event, wanted)
    t.strictSame(event?.data, data)
  }],
  ['tags are read as they were appended', async (t, store) => {
    await store.append('s', [{ type: 'T', data: {}, tags: ['user:ann', 'ä'] }])
    const [event] = await store.readStream('s')
    t.same(event?.tags, ['user:ann', 'ä'])
  }, 'tags'],
  ['an append that expects any version is accepted by a new stream and by an existing one', async (t, store) => {
    t.same(numbersOf((await store.append('s', some(1), 'any')).events), [0])
    t.same(numbersOf((await store.append('s', some(1), 'any')).events), [1])
  }],
  ['an append that expects no stream is accepted by a new stream only', async (t, store) => {
    t.same(numbersOf((await store.append('s', some(1), 'none')).events), [0])
    await t.rejects(store.append('s', some(1), 'none'), WRONG_VERSION)
  }],
  ['an append that expects a stream is accepted by an existing stream only', async (t, store) => {
    await t.rejects(store.append('s', some(1), 'exists'), WRONG_VERSION)
    await store.append('s', some(1))
    t.same(numbersOf((await store.append('s', some(1), 'exists')).events), [1])
  }],
  ['an append that expects a number is accepted when the last event has that number', async (t, store) => {
    await t.rejects(store.append('s', some(1), 0), WRONG_VERSION, 'there is no event yet')
    await store.append('s', some(3))
    for (const expected of [0, 1, 3, 100]) {
      await t.rejects(store.append('s', some(1), expected), WRONG_VERSION, `${expected} expected, the last is 2`)
    }
    t.same(numbersOf((await store.append('s', some(1), 2)).events), [3])
  }],
  ['a refused append writes none of its events', async (t, store) => {
    await store.append('s', some(2))
    await t.rejects(store.append('s', some(3, 2), 7), WRONG_VERSION)
    t.same(numbersOf((await store.append('s', some(1, 2))).events), [2], 'the number was not used')
    t.same(countsOf(await store.readStream('s')), upTo(3))
  }],
  ['of concurrent appends under the same expected version exactly one is accepted', async (t, store) => {
    for (const [round, expected] of (['none', 0, 1] as const).entries()) {
      const appends = Array.from({ length: 8 }, () => store.append('s', some(1), expected))
      const answers = await Promise.allSettled(appends)
      const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []))
      t.same(refused.map(({ code }) => code), Array(7).fill('wrong-expected-version'))
      t.equal((await store.readStream('s')).length, round + 1)
    }
  }],
  ['concurrent appends without an expectation all get numbers of their own', async (t, store) => {
    const appends = await Promise.all(Array.from({ length: 30 }, (_, i) => store.append(`s-${i % 3}`, some(2, 2 * i))))
    const places = appends.flatMap(({ events }) => placesOf(events))
    t.equal(new Set(places).size, 60)
    for (const stream of ['s-0', 's-1', 's-2']) {
      const events = await store.readStream(stream)
      t.same(numbersOf(events), upTo(20), stream)
      const counts = countsOf(events)
      const pairs = upTo(10).map((i) => (counts[2 * i + 1] ?? 0) - (counts[2 * i] ?? 0))
      t.same(pairs, Array(10).fill(1), `${stream}: the events of one append follow each other`)
    }
  }],
  // Retries
  ['a retry with the same ids writes nothing, and is answered as the first attempt', async (t, store) => {
    const events = withIds(some(3))
    const first = await store.append('s', events)
    await store.append('s', some(2, 3))
    const again = await store.append('s', events)
    t.same(again.events, first.events)
    t.not(first.replayed, true)
    t.not(again.replayed, false)
    t.same(countsOf(await store.readStream('s')), upTo(5))
  }],
  ['a retry under the expected version of the first attempt is answered as the first attempt', async (t, store) => {
    const [first, second] = [withIds(some(2)), withIds(some(2, 2))]
    await store.append('s', first, 'none')
    await store.append('s', second, 1)
    await store.append('s', some(1, 4))
    t.same(numbersOf((await store.append('s', first, 'none')).events), [0, 1])
    t.same(numbersOf((await store.append('s', second, 1)).events), [2, 3])
    t.same(countsOf(await store.readStream('s')), upTo(5))
  }],
  ['the same id in another stream is another event', async (t, store) => {
    const events = withIds(some(1))
    await store.append('s', events)
    t.same(placesOf((await store.append('other', events)).events), ['0@other'])
    t.equal((await store.readStream('other')).length, 1)
  }],
  ['an id that comes again with other content is refused', async (t, store) => {
    const [event] = withIds(some(1))
    await store.append('s', [event as EventToAppend])
    for (const changed of [{ data: { n: 7 } }, { type: 'Other' }, { metadata: { by: 'ann' } }]) {
      const refused = store.append('s', [{ ...(event as EventToAppend), ...changed }])
      await t.rejects(refused, { code: 'event-id-reused' }, JSON.stringify(changed))
    }
    t.equal((await store.readStream('s')).length, 1)
  }, 'exact-ids'],
  ['an append of known and new ids is refused, and writes none of them', async (t, store) => {
    const [known, ...unknown] = withIds(some(3))
    await store.append('s', [known as EventToAppend])
    await t.rejects(store.append('s', [known as EventToAppend, ...unknown]), { code: 'partial-replay' })
    t.equal((await store.readStream('s')).length, 1)
  }, 'exact-ids'],
  // Several streams
  ['an append to several streams writes all of its events in their order', async (t, store) => {
    await store.append('a', some(1))
    const events = ['a', 'b', 'a', 'c'].map((stream, i) => ({ stream, ...(some(1, i)[0] as EventToAppend) }))
    const { events: placed } = await store.appendToStreams(events)
    t.same(placesOf(placed), ['1@a', '0@b', '2@a', '0@c'])
    t.same(countsOf(await store.readStream('a')), [0, 0, 2])
    const log = await store.readLog({ from: placed[0]?.position })
    t.same(placesOf(log), placesOf(placed), 'the log holds them one after the other')
  }, 'append-to-streams', 'log'],
  ['an append to several streams writes nothing in any of them when one condition fails', async (t, store) => {
    await store.append('a', some(2))
    const events = ['a', 'b'].map((stream) => ({ stream, ...(some(1)[0] as EventToAppend) }))
    const holds = { stream: 'b', expected: 'none' } as const
    for (const fails of [
      { stream: 'a', expected: 0 },
      { stream: 'a', expected: 'none' },
      { stream: 'unwritten', expected: 'exists' }
    ] as const) {
      await t.rejects(store.appendToStreams(events, [holds, fails]), WRONG_VERSION, JSON.stringify(fails))
    }
    t.equal((await store.readStream('a')).length, 2)
    await t.rejects(store.readStream('b'), NOT_FOUND)
    const all = [holds, { stream: 'a', expected: 1 }, { stream: 'unwritten', expected: 'none' }] as const
    t.same(placesOf((await store.appendToStreams(events, all)).events), ['2@a', '0@b'])
  }, 'append-to-streams'],
  ['a retry of an append to several streams writes nothing in any of them', async (t, store) => {
    const events = withIds(some(4)).map((event, i) => ({ ...event, stream: `s-${i % 2}` }))
    const first = await store.appendToStreams(events, [{ stream: 's-0', expected: 'none' }])
    const again = await store.appendToStreams(events, [{ stream: 's-0', expected: 'none' }])
    t.same(again.events, first.events)
    t.equal((await store.readStream('s-0')).length, 2)
  }, 'append-to-streams'],
  // Reading
  ['a stream is read forwards from a number, that one included', async (t, store) => {
    await store.append('s', some(10))
    t.same(numbersOf(await store.readStream('s', { from: 4 })), [4, 5, 6, 7, 8, 9])
    t.same(numbersOf(await store.readStream('s', { from: 4, limit: 2 })), [4, 5])
    t.same(numbersOf(await store.readStream('s', { from: 0, limit: 100 })), upTo(10))
  }],
  ['a stream is read backwards from a number, that one included, or from its end', async (t, store) => {
    await store.append('s', some(10))
    t.same(numbersOf(await store.readStream('s', { order: 'desc', from: 4 })), [4, 3, 2, 1, 0])
    t.same(numbersOf(await store.readStream('s', { order: 'desc', from: 4, limit: 2 })), [4, 3])
    t.same(numbersOf(await store.readStream('s', { order: 'desc' })), upTo(10).reverse())
    t.same(numbersOf(await store.readStream('s', { order: 'desc', limit: 1 })), [9], 'the last event')
  }],
  ['a stream of many events is read whole in both orders', async (t, store) => {
    for (let first = 0; first < 600; first += 200) await store.append('s', some(200, first))
    t.same(countsOf(await store.readStream('s')), upTo(600))
    t.same(countsOf(await store.readStream('s', { order: 'desc' })), upTo(600).reverse())
  }],
  ['a read that begins after the last event is empty', async (t, store) => {
    await store.append('s', some(2))
    t.same(await store.readStream('s', { from: 2 }), [])
  }],
  ['a stream that was never written is not found', async (t, store) => {
    await store.append('s', some(1))
    await t.rejects(store.readStream('other'), NOT_FOUND)
    await t.rejects(store.readStream('S'), NOT_FOUND, 'names differ by case')
  }],
  ['the log holds the events of all streams in the order of appending', async (t, store) => {
    const wanted: string[] = []
    for (let i = 0; i < 12; i++) wanted.push(...placesOf((await store.append(`s-${i % 5}`, some(1 + (i % 3)))).events))
    const log = await store.readLog()
    t.same(placesOf(log), wanted)
    t.same(placesOf(await store.readLog({ order: 'desc' })), wanted.toReversed())
    const { position } = log[7] as StoredEvent
    t.same(placesOf(await store.readLog({ from: position })), wanted.slice(7))
    t.same(placesOf(await store.readLog({ from: position, limit: 3 })), wanted.slice(7, 10))
    t.same(placesOf(await store.readLog({ from: position, order: 'desc', limit: 3 })), wanted.slice(5, 8).toReversed())
  }, 'log', 'positions'],
  ['an event is the same in its stream, in the log and in the answer to its append', async (t, store) => {
    const { events } = await store.append('s', withIds(some(3)))
    const stream = await store.readStream('s')
    t.strictSame(await store.readLog(), stream)
    t.same(stream.map(({ position }) => position), events.map(({ position }) => position))
  }, 'log', 'positions'],
  // Metadata, truncation, deletion
  ['metadata is read as it was written, and a stream without metadata has none', async (t, store) => {
    await store.append('s', some(1))
    t.same(await store.metadata('s'), {})
    await store.setMetadata('s', { maxCount: 5, truncateBefore: 1 })
    t.same(await store.metadata('s'), { maxCount: 5, truncateBefore: 1 })
    await store.setMetadata('s', { maxCount: 7 })
    t.same(await store.metadata('s'), { maxCount: 7 }, 'new metadata replaces the old')
    t.equal((await store.append('s', some(1), 0)).events[0]?.number, 1, 'metadata uses no number of the stream')
  }],
  ['a maximum count hides all but the last events, which keep their numbers', async (t, store) => {
    await store.append('s', some(6))
    await store.setMetadata('s', { maxCount: 2 })
    t.same(numbersOf(await store.readStream('s')), [4, 5])
    await store.append('s', some(1, 6), 5)
    t.same(numbersOf(await store.readStream('s')), [5, 6])
    t.same(numbersOf(await store.readStream('s', { order: 'desc' })), [6, 5])
    await store.setMetadata('s', {})
    t.same(countsOf(await store.readStream('s')), upTo(7), 'hidden events are not removed')
  }],
  ['a truncation hides events before a number, and the others keep their numbers', async (t, store) => {
    await store.append('s', some(6))
    await store.setMetadata('s', { truncateBefore: 4 })
    t.same(numbersOf(await store.readStream('s')), [4, 5])
    t.same(numbersOf(await store.readStream('s', { order: 'desc' })), [5, 4])
    t.same(numbersOf((await store.append('s', some(1, 6), 5)).events), [6])
  }],
  ['events that metadata hides are not in the log', async (t, store) => {
    await store.append('s', some(3))
    await store.append('other', some(1))
    await store.setMetadata('s', { truncateBefore: 2 })
    t.same(placesOf(await store.readLog()), ['2@s', '0@other'])
  }, 'log'],
  ['a deleted stream is not found; an append revives it and its numbers continue', async (t, store) => {
    await store.append('s', some(3))
    await store.delete('s')
    await t.rejects(store.readStream('s'), NOT_FOUND)
    t.same(numbersOf((await store.append('s', some(2, 3), 'none')).events), [3, 4], 'it counts as no stream')
    t.same(numbersOf(await store.readStream('s')), [3, 4], 'earlier events stay hidden')
    t.same(numbersOf(await store.readStream('s', { order: 'desc' })), [4, 3])
  }],
  ['a delete under a wrong expected version is refused, and deletes nothing', async (t, store) => {
    await store.append('s', some(3))
    for (const permanent of [false, true]) {
      await t.rejects(store.delete('s', { expected: 1, permanent }), WRONG_VERSION)
      t.equal((await store.readStream('s')).length, 3)
    }
    await store.delete('s', { expected: 2 })
    await t.rejects(store.readStream('s'), NOT_FOUND)
  }],
  ['a stream that was never written cannot be deleted', async (t, store) => {
    await t.rejects(store.delete('s'), NOT_FOUND)
  }],
  ['a stream with a tombstone can be neither read nor appended to', async (t, store) => {
    const events = withIds(some(2))
    await store.append('s', events)
    await store.delete('s', { permanent: true })
    await t.rejects(store.readStream('s'), DELETED)
    for (const expected of ['any', 'none', 1] as const) await t.rejects(store.append('s', some(1), expected), DELETED)
    await t.rejects(store.append('s', events), DELETED, 'a retry, too')
    await t.rejects(store.setMetadata('s', { maxCount: 1 }), DELETED)
    for (const permanent of [false, true]) await t.rejects(store.delete('s', { permanent }), DELETED)
  }],
  ['a stream with a tombstone does not exist for a condition, and is not new either', async (t, store) => {
    await store.append('ended', some(1))
    await store.delete('ended', { permanent: true })
    const events = [{ stream: 's', ...(some(1)[0] as EventToAppend) }]
    for (const expected of ['exists', 'none'] as const) {
      await t.rejects(store.appendToStreams(events, [{ stream: 'ended', expected }]), WRONG_VERSION, expected)
    }
  }, 'append-to-streams'],
  ['a deleted stream takes a tombstone', async (t, store) => {
    await store.append('s', some(2))
    await store.delete('s')
    await store.delete('s', { permanent: true })
    await t.rejects(store.readStream('s'), DELETED)
    await t.rejects(store.append('s', some(1)), DELETED)
  }],
  // Subscriptions
  ['a subscription to a stream gives the events after its number, then new ones, each once', async (t, store) => {
    await store.append('s', some(5))
    const live = await store.subscribe({ stream: 's', after: 1 })
    await store.append('other', some(3))
    for (let first = 5; first < 40; first += 5) await store.append('s', some(5, first))
    await eventually('all came', () => live.events.length >= 38)
    t.same(placesOf(live.events), upTo(40).slice(2).map((number) => `${number}@s`))
    await live.close()
  }, 'subscriptions'],
  ['a subscription to the log gives the events of all streams in the order of appending', async (t, store) => {
    for (let i = 0; i < 5; i++) await store.append(`s-${i % 2}`, some(3))
    const live = await store.subscribe({ after: -1 })
    for (let i = 0; i < 10; i++) await store.append(`s-${i % 3}`, some(2))
    const log = await store.readLog()
    await eventually('all came', () => live.events.length >= log.length)
    t.strictSame(live.events, log)
    const { position = -1 } = log[7] as StoredEvent
    const later = await store.subscribe({ after: position })
    await eventually('all after a position came', () => later.events.length >= log.length - 8)
    t.strictSame(later.events, log.slice(8))
    await Promise.all([live.close(), later.close()])
  }, 'subscriptions', 'log', 'positions'],
  ['a subscription to a stream that was never written gives its first event', async (t, store) => {
    const live = await store.subscribe({ stream: 's', after: -1 })
    await store.append('s', some(1))
    await eventually('it came', () => live.events.length > 0)
    t.same(placesOf(live.events), ['0@s'])
    await live.close()
  }, 'subscriptions'],
  ['an event that a subscription has received can be read', async (t, store) => {
    const live = await store.subscribe({ stream: 's', after: -1 })
    for (let number = 0; number < 10; number++) {
      const appended = store.append('s', some(1, number))
      await eventually(`event ${number} came`, () => live.events.length > number)
      t.same(await store.readStream('s', { from: number }), [live.events[number]])
      await appended
    }
    await live.close()
  }, 'subscriptions'],
  ['a closed subscription receives no more events, and other subscriptions continue', async (t, store) => {
    const closed = await store.subscribe({ stream: 's', after: -1 })
    const open = await store.subscribe({ stream: 's', after: -1 })
    await store.append('s', some(1))
    await eventually('both have the first', () => closed.events.length === 1 && open.events.length === 1)
    await closed.close()
    await store.append('s', some(1, 1))
    await eventually('the other has the second', () => open.events.length === 2)
    await turns(5)
    t.equal(closed.events.length, 1)
    await open.close()
  }, 'subscriptions']
] // biome-ignore format: a table
