/** Named consumers (native contract §7): cursors, generations, lag and reset. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Level } from '../../src/log/level.js'
import { append, listen, openApp } from '../helpers/app.js'
import { LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

function request(app: FastifyInstance, method: 'GET' | 'PUT' | 'POST' | 'DELETE', url: string, payload?: object) {
  return app.inject({ method, url, ...(payload && { payload }) })
}

async function define(app: FastifyInstance, name: string, definition: object): Promise<void> {
  const { statusCode, body } = await request(app, 'PUT', `/consumers/${name}`, definition)
  if (statusCode !== 201) throw new Error(body)
}

const getConsumer = async (app: FastifyInstance, name: string) =>
  (await request(app, 'GET', `/consumers/${name}`)).json()

const acknowledge = (app: FastifyInstance, name: string, cursor: number, generation: number) =>
  request(app, 'POST', `/consumers/${name}/ack`, { cursor: String(cursor), generation })

/** Opens a server whose stream s has this many events. */
async function listenWithEvents(t: Test, count: number) {
  const opened = await listen(t)
  await append(
    opened.app,
    's',
    Array.from({ length: count }, (_, data) => ({ type: data % 2 === 0 ? 'Even' : 'Odd', data }))
  )
  return opened
}

t.test('a consumer is created once, found if the definition is the same, and refused if it differs', async (t) => {
  const { app } = await listenWithEvents(t, 1)
  const definition = { source: '/events?type=Odd&category=c', from: 'start', bufferSize: 7, expiresAfter: 'P7D' }
  const first = await request(app, 'PUT', '/consumers/c', definition)
  t.equal(first.statusCode, 201)
  t.equal(first.headers.location, '/consumers/c')
  t.match(first.json(), { name: 'c', state: 'idle', cursor: '-1', settings: { bufferSize: 7, maxRetryCount: 10 } })
  // Another order of the parameters and explicit defaults make the same definition.
  const same = { ...definition, source: '/events?category=c&type=Odd', readBatchSize: 500 }
  t.equal((await request(app, 'PUT', '/consumers/c', same)).statusCode, 200)
  const other = await request(app, 'PUT', '/consumers/c', { ...definition, bufferSize: 8 })
  t.match(other.json(), { status: 409, code: 'consumer-exists', differs: ['bufferSize'] })
  const list = (await request(app, 'GET', '/consumers')).json()
  t.match(list, { consumers: [{ name: 'c' }], subscriptions: [] })
})

t.test('a GET does not move the cursor, an acknowledgement does', async (t) => {
  const { app } = await listenWithEvents(t, 5)
  await define(app, 'c', { source: '/streams/s?type=Odd' })
  for (let i = 0; i < 2; i++) {
    const page = await app.inject('/consumers/c/events?limit=1')
    t.equal(String(page.headers['daybook-generation']), '0')
    t.equal(page.headers['cache-control'], 'private, no-store', 'a page depends on the cursor, so it is not cached')
    t.match(page.json(), {
      consumer: { name: 'c', generation: 0 },
      events: [{ number: 1 }],
      cursor: '1',
      links: { ack: '/consumers/c/ack' }
    })
  }
  t.match((await acknowledge(app, 'c', 1, 0)).json(), { cursor: '1', generation: 0 })
  t.match(
    (await acknowledge(app, 'c', 0, 0)).json(),
    { cursor: '1' },
    'an older acknowledgement is accepted and moves nothing'
  )
  t.match((await app.inject('/consumers/c/events')).json(), { events: [{ number: 3 }], cursor: '4', atEnd: true })
  t.match((await acknowledge(app, 'c', 5, 0)).json(), { status: 409, code: 'not-sent', last: '4' })
  t.match(await getConsumer(app, 'c'), {
    cursor: '1',
    lag: { events: 3 },
    standsStill: 'no connection reads for this consumer'
  })
  await acknowledge(app, 'c', 4, 0)
  const waiting = app.inject('/consumers/c/events?wait=20')
  await append(app, 's', { type: 'Even' })
  await append(app, 's', { type: 'Odd' })
  t.match((await waiting).json(), { events: [{ number: 6 }] })
})

t.test('a consumer that starts mid-stream stores its checkpoint', async (t) => {
  const directory = t.testdir({})
  const before = await openApp(t, { directory })
  await append(before.app, 's', [{ type: 'T' }, { type: 'T' }, { type: 'T' }])
  const begins: [string, number][] = [
    ['1', 0],
    ['end', 2],
    ['2020-01-01', -1],
    ['start', -1]
  ]
  for (const [from, place] of begins) {
    await define(before.app, `from-${from}`, { source: '/streams/s', from })
    t.match(
      before.store.places.get('consumer', `from-${from}`),
      { cursor: place },
      `from ${from}, before the first read`
    )
  }
  await append(before.app, 's', { type: 'T' })
  await before.app.close()
  const after = await openApp(t, { directory })
  for (const [from, place] of begins) {
    t.match(await getConsumer(after.app, `from-${from}`), { cursor: String(place) }, `from ${from}, after a restart`)
  }
  await after.app.close()
  // Without checkpoints a consumer starts again where its definition says: events are repeated, not lost.
  rmSync(join(directory, 'checkpoints'), { recursive: true })
  const lost = await openApp(t, { directory })
  for (const [from, place] of begins) {
    t.match(await getConsumer(lost.app, `from-${from}`), { cursor: String(place) }, `from ${from}, without checkpoints`)
  }
})

t.test('an acknowledgement over WebSocket is confirmed once it is on disk', async (t) => {
  const root = t.testdir({})
  const directory = join(root, 'db')
  const { app, url } = await listen(t, { directory })
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  await define(app, 'c', { source: '/streams/s' })
  const socket = await LiveSocket.open(t, `${url}/streams/s?consumer=c`)
  await socket.untilEvents(2)
  t.match(socket.all[0], { frame: 'subscribed', cursor: '-1', consumer: { name: 'c', generation: 1 } })
  socket.send({ frame: 'ack', cursor: '0' })
  await socket.untilFrame('acked')
  t.match(await getConsumer(app, 'c'), {
    state: 'connected',
    cursor: '0',
    lag: { events: 1 },
    standsStill: '1 events are not acknowledged',
    connection: { transport: 'websocket', inFlight: 1, source: '/streams/s' }
  })
  // The copy is what a killed server leaves behind.
  const copy = join(root, 'copy')
  cpSync(directory, copy, { recursive: true })
  const restarted = await openApp(t, { directory: copy })
  t.match(await getConsumer(restarted.app, 'c'), { cursor: '0', generation: 1 })
})

t.test('a consumer has one reader, and a takeover closes the reader before it', async (t) => {
  const { app, store, url } = await listenWithEvents(t, 3)
  await define(app, 'c', { source: '/streams/s' })
  const first = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await first.untilEvents(3)
  t.match((await app.inject('/consumers/c/events?format=sse')).json(), { status: 409, code: 'consumer-in-use' })
  t.match((await app.inject('/consumers/c/events')).json(), { code: 'consumer-in-use' }, 'a page is refused, too')
  await t.rejects(LiveSocket.open(t, `${url}/consumers/c/events`), { message: 'refused with 409' })
  const second = await LiveBlocks.open(t, `${url}/consumers/c/events?takeover=true`)
  t.same(await first.closed, { code: 4409, reason: 'stale-generation' })
  await second.untilEvents(3)
  t.match(JSON.parse(second.all[0]?.data as string), { consumer: { generation: 2 } })
  const third = await LiveLines.open(t, `${url}/consumers/c/events?takeover=true&live=true`)
  await third.untilEvents(3)
  t.match(third.values[0], { subscribed: { cursor: '-1', consumer: { name: 'c', generation: 3 } } })
  third.destroy()
  await eventually('the consumer is free', () => store.subscriptions.size === 0)
  t.match(await getConsumer(app, 'c'), { state: 'idle', generation: 3 })
})

t.test('an acknowledgement of an older generation does not move the cursor', async (t) => {
  const { app, url } = await listenWithEvents(t, 3)
  await define(app, 'c', { source: '/streams/s' })
  await app.inject('/consumers/c/events')
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilEvents(3)
  const stale = { status: 409, code: 'stale-generation' }
  t.match((await acknowledge(app, 'c', 2, 0)).json(), { ...stale, generation: 1 })
  await request(app, 'POST', '/consumers/c/reset', { to: 'start' })
  t.equal((await socket.closed).code, 4409)
  t.match((await acknowledge(app, 'c', 2, 1)).json(), { ...stale, generation: 2 }, 'also after a reset')
  t.match(await getConsumer(app, 'c'), { cursor: '-1', generation: 2 })
  t.match((await acknowledge(app, 'c', 0, 2)).json(), { code: 'not-sent' }, 'the new generation has sent nothing yet')
})

t.test('a reset moves the cursor to the requested position', async (t) => {
  const { app } = await listenWithEvents(t, 4)
  await define(app, 'c', { source: '/streams/s' })
  for (const [to, place] of [
    ['2', 2],
    ['end', 3],
    ['start', -1],
    ['-15m', -1],
    [1, 1]
  ] as const) {
    const { statusCode, body } = await request(app, 'POST', '/consumers/c/reset', { to })
    t.equal(statusCode, 200, body)
    t.match(JSON.parse(body), { cursor: String(place) }, `to ${to}`)
  }
  t.match((await request(app, 'POST', '/consumers/c/reset', { to: '9' })).json(), { code: 'cursor-beyond-head' })
})

t.test(
  'deleting a consumer closes its reader; acknowledgements of the deleted one do not move a new one',
  async (t) => {
    const { app, url } = await listenWithEvents(t, 2)
    await define(app, 'c', { source: '/streams/s' })
    const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
    await socket.untilEvents(2)
    t.equal((await request(app, 'DELETE', '/consumers/c')).statusCode, 204)
    t.same(await socket.closed, { code: 4410, reason: 'consumer-removed' })
    t.match((await app.inject('/consumers/c/events')).json(), { status: 404, code: 'consumer-not-found' })
    await define(app, 'c', { source: '/streams/s' })
    t.match(await getConsumer(app, 'c'), { cursor: '-1', generation: 1 })
    t.match((await acknowledge(app, 'c', 1, 0)).json(), { code: 'stale-generation' })
  }
)

t.test('a read for a consumer that names another source or its own start is refused', async (t) => {
  const { app } = await listenWithEvents(t, 2)
  await define(app, 'c', { source: '/streams/s?type=Odd' })
  const code = async (url: string) => (await app.inject(url)).json().code
  t.equal(await code('/streams/s?format=sse&consumer=c'), 'consumer-exists')
  t.equal(await code('/events?format=sse&type=Odd&consumer=c'), 'consumer-exists')
  t.equal(await code('/streams/s?format=sse&type=Odd&consumer=c&from=0'), 'bad-parameter')
  t.equal(await code('/streams/s?format=sse&consumer=never'), 'consumer-not-found')
  t.match(await getConsumer(app, 'c'), { generation: 0, state: 'idle' }, 'no reader connected')
})

t.test('pages of other origins cannot read a consumer', async (t) => {
  const { app } = await listenWithEvents(t, 1)
  await define(app, 'c', { source: '/streams/s' })
  const code = async (url: string, headers: Record<string, string>) =>
    (await app.inject({ url, headers: { host: 'localhost', ...headers } })).json().code
  for (const query of ['?format=sse&takeover=true', '?takeover=true']) {
    t.equal(await code(`/consumers/c/events${query}`, { origin: 'https://evil.example' }), 'origin-refused')
    t.equal(
      await code(`/consumers/c/events${query}`, { 'sec-fetch-site': 'cross-site' }),
      'origin-refused',
      'a request for an image'
    )
  }
  t.match(await getConsumer(app, 'c'), { generation: 0 })
  const own = await app.inject({
    url: '/consumers/c/events',
    headers: { host: 'localhost', origin: 'http://localhost' }
  })
  t.equal(own.statusCode, 200)
})

t.test('events that a filter leaves out move the cursor without an acknowledgement', async (t) => {
  const { app, store, url } = await listenWithEvents(t, 4)
  await define(app, 'c', { source: '/events?type=Never', checkpointAfterMilliseconds: 1 })
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilFrame('caughtUp')
  await append(app, 's', { type: 'Even' })
  // The definition of the consumer is an event of the log, too.
  await eventually('the reader is at the end', () => Number(socket.all.at(-1)?.cursor) === 5)
  await eventually('the cursor of the consumer is at the end', () => Number(store.consumers.get('c').cursor) === 5)
  t.equal(socket.all.filter(({ frame }) => frame === 'event').length, 0, 'no event was sent')
})

t.test('a reader without a name is listed while it is connected', async (t) => {
  const { app, store, url } = await listenWithEvents(t, 2)
  const socket = await LiveSocket.open(t, `${url}/streams/s?credit=1&type=Even&type=Odd`)
  const lines = await LiveLines.open(t, `${url}/events?live=true`)
  await socket.untilEvents(1)
  await lines.untilEvents(2)
  t.match((await request(app, 'GET', '/consumers')).json().subscriptions, [
    {
      transport: 'websocket',
      source: '/streams/s?type=Even&type=Odd',
      sent: 1,
      standsStill: 'credit',
      lag: { events: 1 }
    },
    { transport: 'ndjson', source: '/events', cursor: '1', status: 'live', lag: { events: 0, seconds: 0 } }
  ])
  t.match((await app.inject('/metrics')).body, /^daybook_subscriptions 2$/m)
  lines.destroy()
  await socket.close()
  await eventually('no reader is left', () => store.subscriptions.size === 0)
  t.same((await request(app, 'GET', '/consumers')).json(), { consumers: [], subscriptions: [] })
})

t.test('the metrics report the lag of each consumer by name', async (t) => {
  const { app } = await listenWithEvents(t, 3)
  await define(app, 'mail', { source: '/streams/s' })
  const { body } = await app.inject('/metrics')
  t.match(body, /^daybook_consumer_lag_events\{consumer="mail"\} 3$/m)
  t.match(body, /^daybook_consumer_lag_seconds\{consumer="mail"\} \d/m)
})

t.test('a consumer of a permanently deleted stream reports the deletion and answers 410', async (t) => {
  const { app } = await listenWithEvents(t, 2)
  await define(app, 'c', { source: '/streams/s' })
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.match(await getConsumer(app, 'c'), { standsStill: /deleted permanently/ })
  t.equal((await request(app, 'GET', '/consumers')).statusCode, 200)
  t.equal((await app.inject('/consumers/c/events?format=sse')).statusCode, 410)
})

t.test('a failed checkpoint write is retried, and delivery continues', async (t) => {
  const { app, url } = await listenWithEvents(t, 3)
  const { writeSynced } = Level.prototype
  let last: Level | undefined
  let failing: Level | undefined
  let failed = 0
  Level.prototype.writeSynced = function (batch) {
    last = this
    if (this !== failing) return writeSynced.call(this, batch)
    failed++
    return Promise.reject(new Error('No space left on device'))
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  await define(app, 'c', { source: '/streams/s' })
  const checkpoints = last // the database that was written last holds the checkpoints
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilEvents(3)
  failing = checkpoints
  socket.send({ frame: 'ack', cursor: '1' })
  await eventually('the write failed twice', () => failed > 1)
  t.match(await getConsumer(app, 'c'), { standsStill: /checkpoints cannot be written: No space left/ })
  await append(app, 's', { type: 'Even' })
  await socket.untilEvents(4)
  t.notOk(
    socket.all.some(({ frame }) => frame === 'acked'),
    'an acknowledgement that is not on disk is not confirmed'
  )
  t.match(
    (await app.inject('/consumers/c/events?takeover=true')).json(),
    { code: 'read-only' },
    'a takeover is refused: its generation cannot be saved'
  )
  await socket.untilFrame('error')
  t.match(
    socket.all.find(({ frame }) => frame === 'error'),
    { code: 'read-only' },
    'the reader gets the error'
  )
  failing = undefined
  socket.send({ frame: 'ack', cursor: '1' })
  await socket.untilFrame('acked')
  t.match(await getConsumer(app, 'c'), { cursor: '1', state: 'connected' })
})
