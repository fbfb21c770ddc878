/** Live reads with expressions: their work is done in shared turns, delays no other reader, and loses no event. */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import type { Span } from '../../src/reading/event-read.js'
import { Filter, type FilterOptions } from '../../src/reading/filter.js'
import type { Store } from '../../src/store/store.js'
import type { LiveQuery } from '../../src/subscriptions/live-query.js'
import { listen } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { LiveBlocks } from '../helpers/live-clients.js'
import { eventually, openStore } from '../helpers/live-events.js'

/** Matches names that end in a capital. A new name of 1,000 characters costs a whole turn. */
const LARGE = '(.?){235}[A-Z]$'
const ONE_NAME = (limits.expression_size_max + 64) * (limits.stream_name_bytes_max + 1)

let names = 0

/** Appends to so many new streams with long names. Every second name matches. */
async function appendLongNames(store: Store, count: number, dataBytes = 0): Promise<void> {
  const data = dataBytes === 0 ? undefined : 'd'.repeat(dataBytes)
  const events = Array.from({ length: count }, () => {
    const name = `${'x'.repeat(980)}${++names}${names % 2 === 0 ? 'A' : 'a'}`
    return encodeEvent(name, { type: 'T', data })
  })
  await store.writer.append({ events, conditions: [], kind: 'append' })
}

function following(store: Store, options: Partial<FilterOptions>): LiveQuery {
  const filter = new Filter({ system: false, ...options }, store.expressions)
  const request = { lower: undefined, upper: undefined, order: 'asc', filter, resolveLinks: true } as const
  return {
    address: { stream: undefined },
    request: { ...request, truncated: false, viewer: undefined },
    source: '/events',
    key: JSON.stringify(options)
  }
}

async function follow(t: Test, store: Store, options: Partial<FilterOptions>) {
  const pages: Span[] = []
  const offered = (page: Span) => pages.push(page)
  const { leave } = await store.tails.follow(following(store, options), { offered, failed: (error) => t.error(error) })
  t.teardown(leave)
  return {
    pages,
    leave,
    found: () => pages.flatMap(({ events }) => events.map(({ cursor }) => cursor)),
    reached: () => pages.at(-1)?.to ?? -1
  }
}

/** Uses up all turns until the returned function is called. */
function keepBusy(store: Store): () => void {
  const { turns } = store.expressions
  let busy = true
  const work = (count: number) => {
    for (let i = 0; i < count; i++) void turns.take(limits.turn_steps_max)
    if (busy) setImmediate(() => work(2))
  }
  work(1000)
  return () => {
    busy = false
  }
}

t.test('a reader without expressions does not wait for the expressions of others', async (t) => {
  const store = await openStore(t)
  const large = await follow(t, store, { stream: { regex: [LARGE] } })
  const light = await follow(t, store, { type: { is: ['T'] } })
  await appendLongNames(store, 60)
  await eventually('the light reader has all events', () => light.found().length === 60)
  t.equal(large.found().length, 0, 'the slow reader has no event yet')
  await appendLongNames(store, 3)
  await eventually('the light reader has the next events, too', () => light.found().length === 63)
  await eventually('the slow reader is done as well', () => large.reached() === 62)
  t.equal(large.found().length, 31)
  t.same(
    large.pages.map(({ from }) => from),
    [0, ...large.pages.slice(0, -1).map(({ to }) => to + 1)],
    'the pages leave no gap'
  )
  t.ok(store.expressions.turns.most <= ONE_NAME, `${store.expressions.turns.most} steps in one turn`)
})

t.test('when the queue is full, events become a gap and are read from the log', async (t) => {
  const store = await openStore(t)
  const large = await follow(t, store, { stream: { regex: [LARGE] } })
  const rest = keepBusy(store)
  await appendLongNames(store, 60)
  const third = Math.ceil(limits.followed_wait_bytes_max / 3)
  for (let i = 0; i < 5; i++) await appendLongNames(store, 1, third)
  await eventually('all events are dispatched', () => store.dispatcher.next === 65)
  rest()
  await eventually('the reader reaches the head', () => large.reached() === 64)
  t.ok(large.found().length < 32, `${large.found().length} events were offered`)
  await appendLongNames(store, 2)
  await eventually('the reader continues after the gap', () => large.reached() === 66)
  t.ok(
    large.pages.some(({ from }) => from === 65),
    'no event after the gap is left out'
  )
})

t.test('a client that follows over HTTP with costly expressions gets every event once', async (t) => {
  const { store, url } = await listen(t)
  const expressions = Array.from({ length: 4 }, (_, i) => `(.?){23${i}}[A-Z]$`)
  const open = (expression: string) =>
    LiveBlocks.open(t, `${url}/events?live=true&stream.regex=${encodeURIComponent(expression)}`)
  const readers = await Promise.all(expressions.map(open))
  await eventually('all follow', () => store.subscriptions.size === 4)
  const begun = names
  await appendLongNames(store, 20)
  const third = Math.ceil(limits.followed_wait_bytes_max / 3)
  for (let i = 0; i < 5; i++) await appendLongNames(store, 1, third)
  await appendLongNames(store, 20)
  const wanted = Math.floor(names / 2) - Math.floor(begun / 2)
  await Promise.all(readers.map((reader) => reader.until('all events', () => reader.cursors.length >= wanted)))
  for (const { cursors } of readers) {
    t.equal(new Set(cursors).size, cursors.length)
    t.same(
      cursors,
      cursors.toSorted((a, b) => a - b)
    )
  }
})

t.test('live reads with too many different expressions are rejected before the response begins', async (t) => {
  const { app, store } = await listen(t)
  for (let i = 0; ; i++) {
    const query = following(store, { stream: { regex: [`^user-${i}-(.?){200}`] } })
    try {
      store.expressions.follow(query.request.filter.expressions)
    } catch {
      break
    }
  }
  const url = '/events?live=true&type.regex=(.?){200}'
  const refusal = { code: 'overloaded', limit: limits.followed_size_max, detail: /"type", "stream" or a prefix/ }
  const lines = await app.inject({ url: `${url}&format=ndjson` })
  t.equal(lines.statusCode, 503, lines.body)
  t.match(lines.json(), refusal)
  const stream = await app.inject({ url: `${url}&format=sse` })
  t.match(stream.body, /^retry: \d+\nevent: closing\n/m, 'an event stream gets the error as a closing event')
  t.match(JSON.parse(/^data: (.*)$/m.exec(stream.body)?.[1] ?? ''), refusal)
  const waiting = await app.inject({ url: '/events?type.regex=(.?){200}Q&wait=1' })
  t.equal(waiting.statusCode, 503, 'a page with a wait is rejected')
  t.equal((await app.inject({ url: '/events?type.regex=(.?){200}Q' })).statusCode, 200, 'a page without a wait is not')
})

t.test('expressions are released when their last reader has left', async (t) => {
  const store = await openStore(t)
  const { leave } = await follow(t, store, { stream: { regex: [LARGE] } })
  const other = await follow(t, store, { type: { is: ['T'] }, stream: { regex: [LARGE] } })
  t.equal(store.expressions.followed, 1, 'two readers share one expression')
  leave()
  t.equal(store.expressions.followed, 1)
  other.leave()
  t.equal(store.expressions.followed, 0)
})
