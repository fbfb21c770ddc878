/** Work of filters and hidden events: it is counted, shared in turns, limited per page, and ends with its client. */
import { request } from 'node:http'
import t from 'tap'
import { NOBODY } from '../../src/access/permissions.js'
import { limits } from '../../src/limits.js'
import type { ReadRequest } from '../../src/reading/event-read.js'
import { Filter } from '../../src/reading/filter.js'
import type { ReadMemory } from '../../src/reading/read-memory.js'
import type { Store } from '../../src/store/store.js'
import { type IndexStream, indexStreamOf } from '../../src/streams/index-streams.js'
import { metadataRecord } from '../../src/streams/metadata.js'
import { systemClock } from '../../src/time/clock.js'
import { SharedTurns } from '../../src/time/turns.js'
import { append, listen, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { appendTo, eventually, many, openStore, turn } from '../helpers/live-events.js'

/** Nearly the maximum size. Matches names that end in a capital. A name of 1,000 characters costs a million steps. */
const LARGE = '(.?){235}[A-Z]$'

/** Appends one event each to `count` streams with names of 1,000 characters. Every tenth name matches. */
async function appendLongNames(store: Store, count: number): Promise<void> {
  const name = (i: number) => `${'x'.repeat(990)}-${String(i).padStart(8, '0')}${i % 10 === 0 ? 'A' : 'a'}`
  const events = Array.from({ length: count }, (_, i) => encodeEvent(name(i), { type: 'T' }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
}

function reading(store: Store, expression: string, more: Partial<ReadRequest> = {}): ReadRequest {
  const filter = new Filter({ system: false, stream: { regex: [expression] } }, store.expressions)
  return {
    lower: undefined,
    upper: undefined,
    order: 'asc',
    filter,
    resolveLinks: true,
    truncated: false,
    viewer: undefined,
    ...more
  }
}

/** Reads a page of the log. Returns the positions found and the range covered. */
async function pageOf(store: Store, request: ReadRequest, first = 0) {
  const source = store.sources.log()
  const { events, covered } = await store.reader.page(source, request, { first, last: source.head }, 1000)
  return { found: events.map(({ cursor }) => cursor), covered }
}

interface ReadPage {
  readonly events: readonly { readonly cursor: string }[]
  readonly scanned: { readonly to: number }
  readonly atEnd?: boolean
  readonly links: { readonly next?: string }
}

interface Feed {
  readonly entries: readonly { readonly title: string }[]
  readonly links: readonly { readonly relation: string; readonly uri: string }[]
  readonly headOfStream: boolean
}

/** Maximum steps of one record with the longest name. */
const ONE_NAME = (limits.expression_size_max + 64) * (limits.stream_name_bytes_max + 1)

t.test(
  'readers share the steps of a turn in the order of their requests, and every reader gets its steps',
  async (t) => {
    const turns = new SharedTurns(100)
    t.equal(turns.take(60), undefined)
    t.equal(turns.take(40), undefined)
    const order: string[] = []
    const asked = [
      ['large', 1000],
      ['a', 50],
      ['b', 50],
      ['c', 50]
    ] as const
    const all = asked.map(([name, steps]) => turns.take(steps)?.then(() => order.push(name)))
    t.equal(turns.waiting, 4)
    await turn()
    t.same(order, ['large'], 'work that exceeds a turn gets a turn of its own')
    await turn()
    t.same(order, ['large', 'a', 'b'])
    await Promise.all(all)
    t.same(order, ['large', 'a', 'b', 'c'])
    await turn()
    await turn()
    t.equal(turns.take(100), undefined, 'the next turn has room again')
    t.equal(turns.most, 1000)
  }
)

t.test(
  'a page ends when its work limit is reached and reports its range, and the following pages find all events',
  async (t) => {
    const { app, store } = await openApp(t)
    await appendLongNames(store, 250)
    let url: string | undefined = `/events?limit=1000&stream.regex=${encodeURIComponent(LARGE)}`
    const found: string[] = []
    const scanned: number[] = []
    while (url !== undefined) {
      const page: ReadPage = (await app.inject({ url })).json()
      found.push(...page.events.map(({ cursor }) => cursor))
      scanned.push(page.scanned.to)
      url = page.atEnd ? undefined : page.links.next
    }
    t.same(
      found,
      Array.from({ length: 25 }, (_, i) => String(i * 10))
    )
    t.equal(scanned.at(-1), 249)
    t.ok(scanned.length >= 3, `${scanned.length} pages are too few for 250 million steps`)
    for (const order of ['asc', 'desc'] as const) {
      const { covered } = await pageOf(store, reading(store, '(.?){230}[0-9]$', { order }))
      const examined = covered.last - covered.first + 1
      t.ok(examined >= 1 && examined < 150, `${order}: ${examined} records examined`)
      t.equal(order === 'asc' ? covered.first : covered.last, order === 'asc' ? 0 : 249)
    }
  }
)

t.test('a cached answer for a name costs the next request nothing', async (t) => {
  const store = await openStore(t)
  await appendLongNames(store, 80)
  t.same((await pageOf(store, reading(store, LARGE))).covered, { first: 0, last: 79 })
  const before = store.expressions.turns.most
  let given = 0
  const { turns } = store.expressions
  const take = turns.take.bind(turns)
  turns.take = (steps) => {
    given += steps
    return take(steps)
  }
  const { found } = await pageOf(store, reading(store, LARGE))
  t.equal(found.length, 8)
  t.ok(given < 100 * 80, `${given} steps for 80 events with cached names`)
  t.equal(turns.most, before)
})

t.test(
  'eight concurrent reads do no more per turn than one read, and other work runs between their turns',
  async (t) => {
    const store = await openStore(t)
    await appendLongNames(store, 80)
    let running = 8
    const reads = Array.from({ length: 8 }, async (_, i) => {
      const page = await pageOf(store, reading(store, `(.?){23${i}}[A-Z]$`))
      running--
      return page
    })
    let passed = 0
    while (running > 0) {
      await turn()
      passed++
    }
    for (const { found } of await Promise.all(reads)) t.equal(found.length, 8)
    t.ok(passed >= 8 * 80 * 0.9, `${passed} turns passed for others during 640 names that fill a turn each`)
    t.ok(store.expressions.turns.most <= ONE_NAME, `${store.expressions.turns.most} steps in one turn`)
  }
)

t.test('short names share turns, and no turn has more than its steps', async (t) => {
  const store = await openStore(t)
  const events = Array.from({ length: 500 }, (_, i) => encodeEvent(`cart-${i}`, { type: 'T' }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
  await Promise.all([pageOf(store, reading(store, LARGE)), pageOf(store, reading(store, '(.?){231}[A-Z]$'))])
  t.ok(store.expressions.turns.most <= limits.turn_steps_max, `${store.expressions.turns.most} steps in one turn`)
  t.ok(store.expressions.turns.most > limits.turn_steps_max / 2, 'a turn is well used')
})

t.test('a page ends when its client disconnects', async (t) => {
  const store = await openStore(t)
  await appendLongNames(store, 90)
  const gone = { aborted: false }
  const page = pageOf(store, reading(store, LARGE, { gone }))
  for (let i = 0; i < 30; i++) await turn()
  gone.aborted = true
  const { covered } = await page
  t.ok(covered.last > 0 && covered.last < 60, `position ${covered.last} of 89 was reached`)
})

t.test('a page over HTTP ends when its client closes the connection', async (t) => {
  let ahead = 0
  const clock = { ...systemClock, elapsed: () => systemClock.elapsed() + ahead }
  const { store, url } = await listen(t, { clock })
  await appendLongNames(store, 95)
  const { turns } = store.expressions
  const take = turns.take.bind(turns)
  let names = 0
  turns.take = (steps) => {
    if (steps > limits.turn_steps_max) names++
    return take(steps)
  }
  const sent = request(`${url}/events?limit=1000&stream.regex=${encodeURIComponent(LARGE)}`)
  sent.on('error', () => {}) // the client aborts the request
  sent.end()
  await eventually('the page is being read', () => names > 2)
  sent.destroy()
  let before = -1
  while (before !== names) {
    before = names
    ahead += limits.half_closed_ms
    for (let i = 0; i < 20; i++) await turn()
  }
  t.ok(names < 80, `${names} of 95 names were matched`)
})

t.test('an abandoned transfer does no work after the current turn', async (t) => {
  const store = await openStore(t)
  await appendLongNames(store, 90)
  const source = store.sources.log()
  const spans = store.reader.spans(source, reading(store, LARGE), { first: 0, last: source.head })
  const { value } = await spans.next()
  t.ok(value.to < 5, `the first span ends after one turn, at ${value.to}`)
  await spans.return(undefined)
  const { turns } = store.expressions
  for (let i = 0; i < 5; i++) {
    t.equal(turns.waiting, 0)
    await turn()
  }
})

t.test(
  'a page of the filtered log in the dialect ends when its work limit is reached, in both directions',
  async (t) => {
    const { app, store } = await openApp(t)
    await appendLongNames(store, 250)
    await append(app, 'last', { type: 'T' })
    for (const [begin, relation] of [
      ['/streams/$all/filtered/00000000000000000000000000000000/forward/200', 'previous'],
      ['/streams/$all/filtered/head/backward/200', 'next']
    ] as const) {
      const query = `?context=streamid&type=regex&data=${encodeURIComponent(LARGE.replace('235', relation === 'next' ? '234' : '235'))}`
      let url: string | undefined = `${begin}${query}`
      const found = new Set<string>()
      let pages = 0
      while (url !== undefined && pages < 20) {
        const answer: { statusCode: number; json(): Feed } = await app.inject({
          url,
          headers: { accept: 'application/vnd.eventstore.atom+json' }
        })
        t.equal(answer.statusCode, 200)
        const { entries, links, headOfStream } = answer.json()
        for (const { title } of entries) {
          t.notOk(found.has(title), 'no event is on two pages')
          found.add(title)
        }
        pages++
        const link = links.find((one) => one.relation === relation)
        const done = relation === 'previous' ? headOfStream || entries.length === 0 : link === undefined
        url = done ? undefined : link && `${link.uri.replace(/^https?:\/\/[^/]+/, '')}${query}`
      }
      t.equal(found.size, 25, `${relation}: ${pages} pages`)
    }
  }
)

t.test(
  'a search through hidden events shares turns with other reads, and reads in large steps where it finds little',
  async (t) => {
    const store = await openStore(t, { anonymous: true })
    const rule = metadataRecord('hidden-1', Buffer.from('{"$acl":{"$r":"ann"}}'))
    await store.writer.append({
      events: [{ stream: '$$hidden-1', id: undefined, type: '$metadata', record: rule }],
      conditions: [],
      kind: 'append'
    })
    await appendTo(store, 'hidden-1', ...many(4000))
    const viewer = store.rules.viewerOf(NOBODY)
    const source = await store.sources.ofIndex('$ce-hidden', indexStreamOf('$ce-hidden') as IndexStream)
    const { most } = store.expressions.turns
    const search = { ...reading(store, ''), filter: new Filter({ system: false }, store.expressions), viewer }
    const last = { ...search, lower: { kind: 'end' }, order: 'desc' } as const
    const whole = { first: 0, last: source.head }
    let reads = 0
    const counted = { need: () => void reads++ } as unknown as ReadMemory
    const pages = Array.from({ length: 40 }, () => store.reader.page(source, last, whole, 1))
    await eventually('some pages wait for a turn', () => store.expressions.turns.waiting > 0)
    for (const { events } of await Promise.all(pages)) t.same(events, [])
    t.ok(
      most <= limits.turn_steps_max && store.expressions.turns.most <= limits.turn_steps_max,
      'no turn exceeds its steps'
    )
    await store.reader.page(source, search, whole, 1, counted)
    t.ok(reads <= source.head / 32 + 2, `a page of one event took ${reads} reads for ${source.head + 1} hidden events`)
  }
)
