/** Tails: what is new in a source, read and filtered once for all who follow it. */
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

/** What is followed. @param stream undefined: the log */
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

async function follow(t: Test, store: Store, what: LiveQuery) {
  const pages: Span[] = []
  const failures: Error[] = []
  const { tail, leave } = await store.tails.follow(what, {
    offered: (page) => pages.push(page),
    failed: (error) => failures.push(error)
  })
  t.teardown(leave)
  const found = (): ReadResult[] => pages.flatMap(({ events }) => events)
  return { tail, leave, pages, failures, found, begun: tail.next }
}

/** What is wrong with pages that begin at a cursor and leave none out. */
function gapIn(pages: readonly Span[], from: number): string | undefined {
  let next = from
  for (const page of pages) {
    if (page.from !== next) return `a page begins at ${page.from}, not at ${next}`
    next = page.to + 1
  }
  return undefined
}

const OF_T = { type: { is: ['T'] } }

t.test('who follows the same gets the very same events: they are serialised once', async (t) => {
  const store = await openStore(t)
  for (const what of [following('s'), following('$ce-s'), following(undefined, OF_T)]) {
    const [one, other] = [await follow(t, store, what), await follow(t, store, what)]
    await appendTo(store, what.address.stream === '$ce-s' ? 's-1' : 's', { type: 'T' }, { type: 'T' })
    await eventually('both have them', () => one.found().length === 2 && other.found().length === 2)
    t.equal(one.pages[0], other.pages[0], what.key)
    one.leave()
    other.leave()
  }
})

t.test('a commit reaches those whom it concerns', async (t) => {
  const store = await openStore(t)
  const mine = await follow(t, store, following('mine'))
  const filtered = await follow(t, store, following(undefined, OF_T))
  await appendTo(store, 'other', { type: 'U' }, { type: 'U' })
  await appendTo(store, 'mine', { type: 'T' })
  await eventually('it came', () => mine.found().length === 1 && filtered.found().length === 1)
  t.equal(mine.pages.length, 1, 'of another stream it heard nothing')
  t.equal(filtered.pages.at(-1)?.to, store.log.head, 'a filter hears how far it is')
  t.same([mine.begun, filtered.begun], [0, 0])
})

t.test('it begins behind what is there', async (t) => {
  const store = await openStore(t)
  await appendTo(store, 's-1', {}, {}, {})
  await eventually('it was dispatched', () => store.dispatcher.next > store.log.head)
  for (const [what, next] of [
    [following('s-1'), 3],
    [following('$ce-s'), 3],
    [following(undefined), 3],
    [following('never'), 0]
  ] as const) {
    t.equal((await follow(t, store, what)).begun, next, what.key)
  }
})

t.test('what metadata hides is not shown, and passed over', async (t) => {
  const store = await openStore(t)
  const metadata = (data: object) => ({ type: '$metadata', data })
  await appendTo(store, '$$s', metadata({ $maxCount: 1 }))
  const tail = await follow(t, store, following('s'))
  const log = await follow(t, store, following(undefined))
  await appendTo(store, 's', {}, {}, {})
  await eventually('all was considered', () => tail.pages.at(-1)?.to === 2 && log.pages.at(-1)?.to === store.log.head)
  t.same(
    tail.found().map(({ cursor }) => cursor),
    [2]
  )
  t.equal(gapIn(tail.pages, 0), undefined)
  await appendTo(store, '$$s', metadata({ $tb: Number.MAX_SAFE_INTEGER }))
  await appendTo(store, 's', {})
  await eventually('it came back', () => tail.pages.at(-1)?.to === 3)
  t.equal(gapIn(tail.pages, 0), undefined)
})

t.test('of a stream that is deleted for ever nothing more comes, and who follows is told', async (t) => {
  const store = await openStore(t)
  await appendTo(store, 's', {})
  const tail = await follow(t, store, following('s'))
  await store.writer.delete({ kind: 'delete', stream: 's', expected: 'any', permanent: true })
  await eventually('it was told', () => tail.failures.length > 0)
  t.match(tail.failures[0], { code: 'stream-deleted' })
  await t.rejects(store.tails.follow(following('s'), { offered: () => {}, failed: () => {} }), {
    code: 'stream-deleted'
  })
})

t.test('when nobody follows, nothing is read; who comes then begins behind it', async (t) => {
  const store = await openStore(t)
  const first = await follow(t, store, following(undefined))
  first.leave()
  await appendTo(store, 's', {}, {})
  await eventually('it was passed over', () => store.dispatcher.next === 2)
  const second = await follow(t, store, following(undefined))
  await appendTo(store, 's', {})
  await eventually('it came', () => second.found().length === 1)
  t.same([first.pages, second.begun, gapIn(second.pages, 2)], [[], 2, undefined])
})

t.test(
  'whatever is appended while whoever comes and goes: from its beginning no follower misses anything',
  async (t) => {
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
    // One of each, so that all that is there is offered.
    for (const [stream, type] of [
      ['a-1', 'U'],
      ['a-1', 'T']
    ] as const) {
      all.push({ stream, type })
      await appendTo(store, stream, { type })
    }
    for (const { which, follower } of followers) {
      const [what, matches] = sources[which] as (typeof sources)[number]
      const places = all.flatMap((event, position) => (matches(event) ? [position] : []))
      const isLog = what.address.stream === undefined
      const wanted = isLog ? places.filter((position) => position >= follower.begun) : places.slice(follower.begun)
      await eventually(`${what.key} is at its end`, () => follower.found().length >= wanted.length)
      const got = follower.found().map(({ record }) => record.position)
      t.same(got, wanted, `${what.key} from ${follower.begun}`)
      const gap = gapIn(follower.pages, follower.begun)
      if (gap !== undefined) t.fail(`${what.key}: ${gap}`)
    }
  }
)

t.test('woken at any moment of a look that is ending, it looks once more', async (t) => {
  // The moment is a few microtasks long: a reader without a disk meets it each time.
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

t.test('an index stream that is switched off is refused, and nothing goes on listening', async (t) => {
  const store = await openStore(t, { runProjections: 'none' })
  for (let i = 0; i < 2; i++) {
    await t.rejects(store.tails.follow(following('$ce-s'), { offered: () => {}, failed: () => {} }), {
      code: 'index-switched-off'
    })
  }
})
