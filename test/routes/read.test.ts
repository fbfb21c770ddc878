import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { admin, makeUser, setRules } from '../helpers/people.js'

async function tenEvents(app: FastifyInstance): Promise<void> {
  const events = Array.from({ length: 10 }, (_, i) => ({ type: i % 2 === 0 ? 'Even' : 'Odd', data: i }))
  await append(app, 's-1', events)
}

t.test('bounds mean the same in both orders', async (t) => {
  const { app } = await openApp(t)
  await tenEvents(app)
  const cases: [string, number[]][] = [
    ['', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ['from=7', [7, 8, 9]],
    ['after=7', [8, 9]],
    ['to=2', [0, 1, 2]],
    ['before=2', [0, 1]],
    ['from=3&to=5', [3, 4, 5]],
    ['after=3&before=5', [4]],
    ['after=-1&limit=1', [0]],
    ['from=start&limit=2', [0, 1]],
    ['from=5&to=4', []],
    ['after=9', []],
    ['from=10', []]
  ]
  for (const [query, numbers] of cases) {
    const asc = (await app.inject(`/streams/s-1?${query}`)).json()
    t.same(
      asc.events.map(({ number }: { number: number }) => number),
      numbers,
      `${query} asc`
    )
    const desc = (await app.inject(`/streams/s-1?${query}&order=desc`)).json()
    if (query.includes('limit')) continue
    t.same(
      desc.events.map(({ number }: { number: number }) => number),
      [...numbers].reverse(),
      `${query} desc`
    )
  }
  t.same((await app.inject('/streams/s-1?from=end')).json().events, [], 'from=end, ascending: only later events')
  t.match(
    (await app.inject('/streams/s-1?from=end&order=desc')).json().events,
    [{ number: 9 }],
    'from=end, descending: the last event'
  )
  t.match((await app.inject('/streams/s-1?from=11')).json(), { status: 409, code: 'cursor-beyond-head', head: 9 })
})

t.test('a page has a cursor, and the head only if it reaches the end', async (t) => {
  const { app } = await openApp(t)
  await tenEvents(app)
  const first = (await app.inject('/streams/s-1?limit=4')).json()
  t.match(first, { cursor: '3', links: { next: '/streams/s-1?cursor=3&order=asc&limit=4' } })
  t.notOk('head' in first || 'atEnd' in first)
  const last = (await app.inject('/streams/s-1?after=7')).json()
  t.match(last, { cursor: '9', head: 9, atEnd: true })
  t.notOk('next' in last.links, 'there is no next page')
  t.ok(last.links.newer, 'the newer link is there to be polled')
  t.match((await app.inject('/streams/s-1?type=Nothing')).json(), {
    events: [],
    cursor: '9',
    scanned: { from: 0, to: 9 }
  })
})

t.test('a missing stream is 404 and not cached; a page past the end is empty', async (t) => {
  const { app } = await openApp(t)
  const answer = await app.inject('/streams/none')
  t.match(answer.json(), { status: 404, code: 'stream-not-found', head: null })
  t.equal(answer.headers['cache-control'], 'no-store')
  await append(app, 's', { type: 'T' })
  t.match((await app.inject('/streams/s?after=0')).json(), { events: [], head: 0 })
  t.match((await app.inject('/streams/s/1')).json(), { status: 404, code: 'event-not-found', head: 0 })
  t.match((await app.inject('/streams/s/head')).json(), { number: 0 })
  t.match((await app.inject('/events/0')).json(), { position: 0, cursor: '0' })
  t.match((await app.inject('/events/head')).json(), { position: 0 })
})

t.test('bounds can be instants, dates and ages, also with a plus that arrives as a space', async (t) => {
  let now = Date.parse('2026-11-23T10:00:00Z')
  const clock = { now: () => now, elapsed: () => performance.now(), after: () => () => {} }
  const { app } = await openApp(t, { clock })
  for (let i = 0; i < 5; i++) {
    await append(app, 's', { type: 'T', data: i })
    now += 60_000
  }
  const count = async (query: string) => (await app.inject(`/streams/s?${query}`)).json().events?.length
  t.equal(await count('from=2026-11-23T10:02:00Z'), 3)
  t.equal(await count('after=2026-11-23T10:02:00Z'), 2)
  t.equal(await count('to=2026-11-23T11:02:00+01:00'), 3, 'the plus arrives as a space')
  t.equal(await count('before=2026-11-23T10:02:00Z'), 2)
  t.equal(await count('from=2026-11-23'), 5)
  t.equal(await count('before=2026-11-23'), 0)
  t.equal(await count('from=-2m'), 2)
  now -= 3_600_000
  t.equal((await append(app, 's', { type: 'T' })).statusCode, 201)
  const created = (await app.inject('/streams/s')).json().events.map((event: { created: string }) => event.created)
  t.same(created, [...created].sort(), 'created never goes back')
})

t.test('values of a filter are combined with "or", parameters with "and"', async (t) => {
  const { app, store } = await openApp(t)
  const events = [
    encodeEvent('cart-1', { type: 'A', tags: ['x', 'y'], occurred: '2020-01-01T00:00:00Z' }),
    encodeEvent('cart-2', { type: 'B', tags: ['x'], occurred: '2021-01-01T00:00:00Z' }),
    encodeEvent('order-1', { type: 'A' }),
    encodeEvent('plain', { type: 'AB' }),
    encodeEvent('$sys', { type: 'A' })
  ]
  await store.writer.append({ events, conditions: [], kind: 'append' })
  const cases: [string, number[]][] = [
    ['', [0, 1, 2, 3]],
    ['system=true', [0, 1, 2, 3, 4]],
    ['type=A', [0, 2]],
    ['type=A&system=true', [0, 2, 4]],
    ['type=A&type=B', [0, 1, 2]],
    ['type.prefix=A', [0, 2, 3]],
    ['type.regex=^.$', [0, 1, 2]],
    ['type.not=A', [1, 3]],
    ['category=cart', [0, 1]],
    ['category=cart&type=A', [0]],
    ['stream=cart-1&stream=plain', [0, 3]],
    ['stream.prefix=cart', [0, 1]],
    ['stream.regex=-1$', [0, 2]],
    ['stream.not=plain&type.not=B', [0, 2]],
    ['tag=x', [0, 1]],
    ['tag=x&tag=y', [0]],
    ['occurred.from=2020-06-01', [1]],
    ['occurred.to=2020-06-01', [0]],
    ['stream=$sys&system=true', [4]]
  ]
  for (const [query, positions] of cases) {
    const actual = (await app.inject(`/events?${query}`))
      .json()
      .events.map(({ position }: { position: number }) => position)
    t.same(actual, positions, query)
  }
  t.equal((await app.inject('/streams/$sys')).json().events.length, 1, 'a system stream can be read by its name')
  t.equal((await app.inject('/streams/$all')).json().events.length, 4)
  t.match((await app.inject('/streams/$ce-cart/1')).json(), { position: 1 })
  t.match((await app.inject('/streams/$et-A/1')).json(), { position: 2 })
  t.match((await app.inject('/streams/$et-A/2')).json(), { status: 404 })
})

t.test('the parameter "where", which is not implemented, answers 501', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  t.match((await app.inject('/streams/s?where=data.x=1')).json(), { status: 501, code: 'not-implemented' })
})

t.test('a page ends at 8 MiB, and the next one continues', async (t) => {
  const { app, store } = await openApp(t)
  for (let i = 0; i < 12; i++) {
    await store.writer.append({
      events: [encodeEvent('s', { data: 'x'.repeat(1_000_000) })],
      conditions: [],
      kind: 'append'
    })
  }
  const numbers: number[] = []
  let pages = 0
  for (let url = '/streams/s?limit=100'; url; pages++) {
    const page = (await app.inject(url)).json()
    numbers.push(...page.events.map(({ number }: { number: number }) => number))
    url = page.links.next
  }
  t.same(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  t.equal(pages, 2)
})

t.test('atLeast answers 409 while the log is shorter, or waits for it with wait', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  t.match((await app.inject('/streams/s?atLeast=5')).json(), {
    status: 409,
    code: 'not-there-yet',
    head: 0,
    atLeast: 5
  })
  const waiting = app.inject('/streams/s?atLeast=1&wait=60')
  await append(app, 's', { type: 'T' })
  t.equal((await waiting).json().events.length, 2)
})

t.test('the last event is the last that the caller may read, in the log, a stream, and an index stream', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const ann = await makeUser(store, 'ann')
  const at = store.log.head + 1
  await append(app, 'a-1', [{ type: 'A' }, { type: 'A' }, { type: 'B' }], admin)
  await append(app, 'secret-1', [{ type: 'A' }, { type: 'A' }], admin)
  await setRules(app, 'secret-1', { read: ['admin'] })
  await append(app, 'b-1', [{ type: 'A' }, { type: 'A' }], admin)
  t.equal((await ask(app, 'DELETE /streams/b-1', admin)).statusCode, 204, 'its audit record is the last event then')
  const last = { from: 'end', order: 'desc' }
  const rows: [string, number | undefined, number | undefined][] = [
    ['/events', 2, 4],
    ['/streams/$all', 2, 4],
    ['/events?type=A', 1, 4],
    ['/events?category=a', 2, 2],
    [`/events?to=${at + 1}`, 1, 1],
    ['/events?type=None', undefined, undefined],
    ['/streams/$et-A', 1, 4],
    ['/streams/$ce-secret', undefined, 4],
    ['/streams/a-1', 2, 2]
  ]
  for (const [address, annSees, adminSees] of rows) {
    for (const [who, place] of [
      [ann, annSees],
      [admin, adminSees]
    ] as const) {
      const position = place && at + place
      const [path = '', filter = ''] = address.split('?')
      const query = `${new URLSearchParams(last)}&${filter}`.replace(/&$/, '')
      const answer = await ask(app, `GET ${path}?${query}&limit=3`, who)
      const positions =
        answer.statusCode === 404 ? [] : answer.json().events.map((one: { position: number }) => one.position)
      t.same(positions, position === undefined ? [] : [position], `${address}, the last of a page`)
      const lines = (await ask(app, `GET ${path}?${query}&format=ndjson`, who)).body
      const shown =
        answer.statusCode === 404
          ? []
          : lines
              .split('\n')
              .filter(Boolean)
              .map((line) => JSON.parse(line).position)
      t.same(shown, positions, `${address}, the last line`)
      if (filter !== '') continue
      const head = await ask(app, `GET ${path}/head`, who)
      if (position === undefined) t.match(head.json(), { status: 404 }, `${address}/head`)
      else t.match(head.json(), { position }, `${address}/head`)
    }
  }
})

t.test('a search for the last event scans a bounded number of events, and reports how far it looked', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 's', { type: 'Seen' })
  const batch = Array.from({ length: 4096 }, () => encodeEvent('$noise', {}))
  for (let i = 0; i * batch.length <= limits.scan_events_max; i++) {
    await store.writer.append({ events: batch, conditions: [], kind: 'append' })
  }
  const { head } = store.log
  const scanned = { from: head - limits.scan_events_max + 1, to: head }
  t.match((await app.inject('/events/head')).json(), { code: 'event-not-found', scanned, head })
  const first = (await app.inject('/events?from=end&order=desc')).json()
  t.match(first, { events: [], scanned, links: { next: `/events?from=end&cursor=${scanned.from}&order=desc` } })
  const second = (await app.inject(first.links.next)).json()
  t.match(second, { events: [{ position: 0 }] })
  t.notOk('next' in second.links, 'there is no next page')
  t.same((await app.inject(second.links.newer)).json().events, [])
})

t.test('a stream whose events are all truncated has no last event until the next append', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', [{ type: 'A' }, { type: 'B' }])
  await ask(app, 'PUT /streams/s/metadata', {}, { truncateBefore: 2 })
  t.match((await app.inject('/streams/s/head')).json(), { status: 404, code: 'event-not-found', stream: 's', head: 1 })
  t.match((await app.inject('/events/head')).json(), { status: 404, head: 2 })
  t.same((await app.inject('/streams/s?from=end&order=desc')).json().events, [])
  await append(app, 's', { type: 'C' })
  t.match((await app.inject('/streams/s/head')).json(), { type: 'C' })
  t.match((await app.inject('/events/head')).json(), { type: 'C' })
})
