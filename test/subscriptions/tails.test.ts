/** Tails: new events of a source are read and filtered once for all of its listeners. */
import t, { type Test } from 'tap'
import type { ReadResult, Span } from '../../src/reading/event-read.js'
import { Filter, type FilterOptions } from '../../src/reading/filter.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Store } from '../../src/store/store.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import { ListTail } from '../../src/subscriptions/tail.js'
import { encodeEvent } from '../helpers/events.js'
import { appendTo, eventually, openStore, turns } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'

/** Returns a live query. @param stream undefined: the log */
function following(stream: string | undefined, options: Partial<FilterOptions> = {}): LiveQuery {
  const filter = new Filter({ system: false, ...options })
  return {
    address: { stream, index: stream === undefined ? undefined : indexStreamOf(stream) },
    request: {
      lower: undefined,
      upper: undefined,
      order: 'asc',
      filter,
      resolveLinks: true,
      truncated: false,
      viewer: undefined
    },
    source: String(stream),
    key: `${stream} ${JSON.stringify(options)}`
  }
}

async function follow(t: Test, store: Store, query: LiveQuery) {
  const pages: Span[] = []
  const failures: Error[] = []
  const { tail, leave } = await store.tails.follow(query, {
    offered: (page) => pages.push(page),
    failed: (error) => failures.push(error)
  })
  t.teardown(leave)
  const found = (): ReadResult[] => pages.flatMap(({ events }) => events)
  return { tail, leave, pages, failures, found, begun: tail.next }
}

/** Returns the first fault in pages that should start at a cursor and leave no gap. */
function gapIn(pages: readonly Span[], from: number): string | undefined {
  let next = from
  for (const page of pages) {
    if (page.from !== next) return `a page begins at ${page.from}, not at ${next}`
    next = page.to + 1
  }
  return undefined
}

const OF_T = { type: { is: ['T'] } }

t.test('listeners of the same query get the same event objects, so that events are serialised once', async (t) => {
  const store = await openStore(t)
  for (const query of [following('s'), following('$ce-s'), following(undefined, OF_T)]) {
    const [one, other] = [await follow(t, store, query), await follow(t, store, query)]
    await appendTo(store, query.address.stream === '$ce-s' ? 's-1' : 's', { type: 'T' }, { type: 'T' })
    await eventually('both listeners have the events', () => one.found().length === 2 && other.found().length === 2)
    t.equal(one.pages[0], other.pages[0], query.key)
    one.leave()
    other.leave()
  }
})

t.test('a commit reaches only the tails that it concerns', async (t) => {
  const store = await openStore(t)
  const mine = await follow(t, store, following('mine'))
  const filtered = await follow(t, store, following(undefined, OF_T))
  await appendTo(store, 'other', { type: 'U' }, { type: 'U' })
  await appendTo(store, 'mine', { type: 'T' })
  await eventually('it came', () => mine.found().length === 1 && filtered.found().length === 1)
  t.equal(mine.pages.length, 1, 'a commit to another stream does not reach the tail')
  t.equal(filtered.pages.at(-1)?.to, store.log.head, 'a filtered tail reaches the head of the log')
  t.same([mine.begun, filtered.begun], [0, 0])
})

t.test('a tail starts after the existing events', async (t) => {
  const store = await openStore(t)
  await appendTo(store, 's-1', {}, {}, {})
  await eventually('the commit is dispatched', () => store.dispatcher.next > store.log.head)
  for (const [query, next] of [
    [following('s-1'), 3],
    [following('$ce-s'), 3],
    [following(undefined), 3],
    [following('never'), 0]
  ] as const) {
    t.equal((await follow(t, store, query)).begun, next, query.key)
  }
})

t.test('events hidden by metadata are skipped', async (t) => {
  const store = await openStore(t)
  const metadata = (data: object) => ({ type: '$metadata', data })
  await appendTo(store, '$$s', metadata({ $maxCount: 1 }))
  const tail = await follow(t, store, following('s'))
  const log = await follow(t, store, following(undefined))
  await appendTo(store, 's', {}, {}, {})
  await eventually(
    'all events are examined',
    () => tail.pages.at(-1)?.to === 2 && log.pages.at(-1)?.to === store.log.head
  )
  t.same(
    tail.found().map(({ cursor }) => cursor),
    [2]
  )
  t.equal(gapIn(tail.pages, 0), undefined)
  await appendTo(store, '$$s', metadata({ $tb: Number.MAX_SAFE_INTEGER }))
  await appendTo(store, 's', {})
  await eventually('the stream is back', () => tail.pages.at(-1)?.to === 3)
  t.equal(gapIn(tail.pages, 0), undefined)
})

t.test('listeners of a permanently deleted stream get an error', async (t) => {
  const store = await openStore(t)
  await appendTo(store, 's', {})
  const tail = await follow(t, store, following('s'))
  await store.writer.delete({ kind: 'delete', stream: 's', expected: 'any', permanent: true })
  await eventually('the listener gets the error', () => tail.failures.length > 0)
  t.match(tail.failures[0], { code: 'stream-deleted' })
  await t.rejects(store.tails.follow(following('s'), { offered: () => {}, failed: () => {} }), {
    code: 'stream-deleted'
  })
})

t.test('without listeners nothing is read, and a later listener starts after those events', async (t) => {
  const store = await openStore(t)
  const first = await follow(t, store, following(undefined))
  first.leave()
  await appendTo(store, 's', {}, {})
  await eventually('the commit is dispatched', () => store.dispatcher.next === 2)
  const second = await follow(t, store, following(undefined))
  await appendTo(store, 's', {})
  await eventually('it came', () => second.found().length === 1)
  t.same([first.pages, second.begun, gapIn(second.pages, 2)], [[], 2, undefined])
})

t.test('a listener misses no event from its start, while others come and go', async (t) => {
  const random = seeded(t)
  const store = await openStore(t)
  const all: { stream: string; type: string }[] = []
  const append = async () => {
    const batch = Array.from({ length: random.int(1, 30) }, () => ({
      stream: random.pick(['a-1', 'a-2', 'b']),
      type: random.pick(['T', 'U'])
    }))
    all.push(...batch)
    const events = batch.map(({ stream, type }) => encodeEvent(stream, { type }))
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  const sources: [LiveQuery, (event: { stream: string; type: string }) => boolean][] = [
    [following('a-1'), ({ stream }) => stream === 'a-1'],
    [following('$ce-a'), ({ stream }) => stream.startsWith('a')],
    [following('$et-U'), ({ type }) => type === 'U'],
    [following(undefined, OF_T), ({ type }) => type === 'T']
  ]
  const followers: { which: number; follower: Awaited<ReturnType<typeof follow>> }[] = []
  for (let step = 0; step < 150; step++) {
    const appending = append()
    if (random.chance(0.3)) {
      const which = random.int(0, sources.length - 1)
      followers.push({ which, follower: await follow(t, store, sources[which]?.[0] as LiveQuery) })
    }
    await appending
  }
  // One listener per source, so that all events are offered.
  for (const [stream, type] of [
    ['a-1', 'U'],
    ['a-1', 'T']
  ] as const) {
    all.push({ stream, type })
    await appendTo(store, stream, { type })
  }
  for (const { which, follower } of followers) {
    const [query, matches] = sources[which] as (typeof sources)[number]
    const places = all.flatMap((event, position) => (matches(event) ? [position] : []))
    const isLog = query.address.stream === undefined
    const wanted = isLog ? places.filter((position) => position >= follower.begun) : places.slice(follower.begun)
    await eventually(`${query.key} has all events`, () => follower.found().length >= wanted.length)
    const got = follower.found().map(({ record }) => record.position)
    t.same(got, wanted, `${query.key} from ${follower.begun}`)
    const gap = gapIn(follower.pages, follower.begun)
    if (gap !== undefined) t.fail(`${query.key}: ${gap}`)
  }
})

t.test('a tail woken at any moment at the end of a read reads again', async (t) => {
  // The moment lasts a few microtasks. A reader without a disk hits it every time.
  for (let moment = 0; moment < 40; moment++) {
    let head = -1
    const reader = {
      visible: { toFollow: async () => ({ head }) },
      async *spans(_source: unknown, _request: unknown, { first, last }: { first: number; last: number }) {
        yield { from: first, to: last, events: [] }
      }
    }
    const tail = await new ListTail(reader as unknown as Reader, following('$ce-s')).open()
    head = 0
    tail.wake()
    for (let i = 0; i < moment; i++) await undefined
    head = 1
    tail.wake()
    await turns(20)
    t.equal(tail.next, 2, `woken ${moment} microtasks later`)
  }
})

t.test('following a switched-off index stream is rejected and leaves no listener behind', async (t) => {
  const store = await openStore(t, { runProjections: 'none' })
  for (let i = 0; i < 2; i++) {
    await t.rejects(store.tails.follow(following('$ce-s'), { offered: () => {}, failed: () => {} }), {
      code: 'index-switched-off'
    })
  }
})
