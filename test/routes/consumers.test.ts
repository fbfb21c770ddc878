/** Consumers with a name (native contract §7): places, generations, lag, reset. */
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

async function made(app: FastifyInstance, name: string, definition: object): Promise<void> {
  const { statusCode, body } = await request(app, 'PUT', `/consumers/${name}`, definition)
  if (statusCode !== 201) throw new Error(body)
}

const shown = async (app: FastifyInstance, name: string) => (await request(app, 'GET', `/consumers/${name}`)).json()

const acknowledge = (app: FastifyInstance, name: string, cursor: number, generation: number) =>
  request(app, 'POST', `/consumers/${name}/ack`, { cursor: String(cursor), generation })

/** A server whose stream s holds so many events. */
async function serving(t: Test, count: number) {
  const opened = await listen(t)
  await append(
    opened.app,
    's',
    Array.from({ length: count }, (_, data) => ({ type: data % 2 === 0 ? 'Even' : 'Odd', data }))
  )
  return opened
}

t.test('it is made once, found when it is the same, and refused when it is not', async (t) => {
  const { app } = await serving(t, 1)
  const definition = { source: '/events?type=Odd&category=c', from: 'start', bufferSize: 7, expiresAfter: 'P7D' }
  const first = await request(app, 'PUT', '/consumers/c', definition)
  t.equal(first.statusCode, 201)
  t.equal(first.headers.location, '/consumers/c')
  t.match(first.json(), { name: 'c', state: 'idle', cursor: '-1', settings: { bufferSize: 7, maxRetryCount: 10 } })
  // Parameters in another order, and defaults that are written out, say the same.
  const same = { ...definition, source: '/events?category=c&type=Odd', readBatchSize: 500 }
  t.equal((await request(app, 'PUT', '/consumers/c', same)).statusCode, 200)
  const other = await request(app, 'PUT', '/consumers/c', { ...definition, bufferSize: 8 })
  t.match(other.json(), { status: 409, code: 'consumer-exists', differs: ['bufferSize'] })
  const list = (await request(app, 'GET', '/consumers')).json()
  t.match(list, { consumers: [{ name: 'c' }], subscriptions: [] })
})

t.test('page by page: a GET moves nothing, an acknowledgement does', async (t) => {
  const { app } = await serving(t, 5)
  await made(app, 'c', { source: '/streams/s?type=Odd' })
  for (let i = 0; i < 2; i++) {
    const page = await app.inject('/consumers/c/events?limit=1')
    t.equal(String(page.headers['daybook-generation']), '0')
    t.equal(page.headers['cache-control'], 'private, no-store', 'a page depends on the place, so nobody keeps it')
    t.match(page.json(), {
      consumer: { name: 'c', generation: 0 },
      events: [{ number: 1 }],
      cursor: '1',
      links: { ack: '/consumers/c/ack' }
    })
  }
  t.match((await acknowledge(app, 'c', 1, 0)).json(), { cursor: '1', generation: 0 })
  t.match((await acknowledge(app, 'c', 0, 0)).json(), { cursor: '1' }, 'what was acknowledged before is so again')
  t.match((await app.inject('/consumers/c/events')).json(), { events: [{ number: 3 }], cursor: '4', atEnd: true })
  t.match((await acknowledge(app, 'c', 5, 0)).json(), { status: 409, code: 'not-sent', last: '4' })
  t.match(await shown(app, 'c'), { cursor: '1', lag: { events: 3 }, standsStill: 'nobody reads for it' })
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
    await made(before.app, `from-${from}`, { source: '/streams/s', from })
    t.match(
      before.store.places.get('consumer', `from-${from}`),
      { cursor: place },
      `from ${from}, before anybody reads`
    )
  }
  await append(before.app, 's', { type: 'T' })
  await before.app.close()
  const after = await openApp(t, { directory })
  for (const [from, place] of begins) {
    t.match(await shown(after.app, `from-${from}`), { cursor: String(place) }, `from ${from}, after a restart`)
  }
  await after.app.close()
  // Losing them costs repetition, from where it was to begin.
  rmSync(join(directory, 'checkpoints'), { recursive: true })
  const lost = await openApp(t, { directory })
  for (const [from, place] of begins) {
    t.match(await shown(lost.app, `from-${from}`), { cursor: String(place) }, `from ${from}, without checkpoints`)
  }
})

t.test('an acknowledgement over WebSocket is answered when it is on disk', async (t) => {
  const root = t.testdir({})
  const directory = join(root, 'db')
  const { app, url } = await listen(t, { directory })
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  await made(app, 'c', { source: '/streams/s' })
  const socket = await LiveSocket.open(t, `${url}/streams/s?consumer=c`)
  await socket.untilEvents(2)
  t.match(socket.all[0], { frame: 'subscribed', cursor: '-1', consumer: { name: 'c', generation: 1 } })
  socket.send({ frame: 'ack', cursor: '0' })
  await socket.untilFrame('acked')
  t.match(await shown(app, 'c'), {
    state: 'connected',
    cursor: '0',
    lag: { events: 1 },
    standsStill: '1 events wait to be acknowledged',
    connection: { transport: 'websocket', inFlight: 1, source: '/streams/s' }
  })
  // As a kill would leave it.
  const copy = join(root, 'copy')
  cpSync(directory, copy, { recursive: true })
  const restarted = await openApp(t, { directory: copy })
  t.match(await shown(restarted.app, 'c'), { cursor: '0', generation: 1 })
})

t.test('one connection reads under a name; whoever takes it over ends the one before', async (t) => {
  const { app, store, url } = await serving(t, 3)
  await made(app, 'c', { source: '/streams/s' })
  const first = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await first.untilEvents(3)
  t.match((await app.inject('/consumers/c/events?format=sse')).json(), { status: 409, code: 'consumer-in-use' })
  t.match((await app.inject('/consumers/c/events')).json(), { code: 'consumer-in-use' }, 'nor page by page')
  await t.rejects(LiveSocket.open(t, `${url}/consumers/c/events`), { message: 'refused with 409' })
  const second = await LiveBlocks.open(t, `${url}/consumers/c/events?takeover=true`)
  t.same(await first.closed, { code: 4409, reason: 'stale-generation' })
  await second.untilEvents(3)
  t.match(JSON.parse(second.all[0]?.data as string), { consumer: { generation: 2 } })
  const third = await LiveLines.open(t, `${url}/consumers/c/events?takeover=true&live=true`)
  await third.untilEvents(3)
  t.match(third.values[0], { subscribed: { cursor: '-1', consumer: { name: 'c', generation: 3 } } })
  third.destroy()
  await eventually('it is free', () => store.subscriptions.size === 0)
  t.match(await shown(app, 'c'), { state: 'idle', generation: 3 })
})

t.test('an acknowledgement from an older generation moves nothing', async (t) => {
  const { app, url } = await serving(t, 3)
  await made(app, 'c', { source: '/streams/s' })
  await app.inject('/consumers/c/events')
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilEvents(3)
  const stale = { status: 409, code: 'stale-generation' }
  t.match((await acknowledge(app, 'c', 2, 0)).json(), { ...stale, generation: 1 })
  await request(app, 'POST', '/consumers/c/reset', { to: 'start' })
  t.equal((await socket.closed).code, 4409)
  t.match((await acknowledge(app, 'c', 2, 1)).json(), { ...stale, generation: 2 }, 'nor after a reset')
  t.match(await shown(app, 'c'), { cursor: '-1', generation: 2 })
  t.match((await acknowledge(app, 'c', 0, 2)).json(), { code: 'not-sent' }, 'of the new one nothing was sent')
})

t.test('after a reset it goes on where it was told to', async (t) => {
  const { app } = await serving(t, 4)
  await made(app, 'c', { source: '/streams/s' })
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

t.test('one that is deleted ends its connection, and is never taken for one that comes after it', async (t) => {
  const { app, url } = await serving(t, 2)
  await made(app, 'c', { source: '/streams/s' })
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilEvents(2)
  t.equal((await request(app, 'DELETE', '/consumers/c')).statusCode, 204)
  t.same(await socket.closed, { code: 4410, reason: 'consumer-removed' })
  t.match((await app.inject('/consumers/c/events')).json(), { status: 404, code: 'consumer-not-found' })
  await made(app, 'c', { source: '/streams/s' })
  t.match(await shown(app, 'c'), { cursor: '-1', generation: 1 })
  t.match((await acknowledge(app, 'c', 1, 0)).json(), { code: 'stale-generation' })
})

t.test('who asks for another source, or for a place of its own, is refused under a name', async (t) => {
  const { app } = await serving(t, 2)
  await made(app, 'c', { source: '/streams/s?type=Odd' })
  const code = async (url: string) => (await app.inject(url)).json().code
  t.equal(await code('/streams/s?format=sse&consumer=c'), 'consumer-exists')
  t.equal(await code('/events?format=sse&type=Odd&consumer=c'), 'consumer-exists')
  t.equal(await code('/streams/s?format=sse&type=Odd&consumer=c&from=0'), 'bad-parameter')
  t.equal(await code('/streams/s?format=sse&consumer=never'), 'consumer-not-found')
  t.match(await shown(app, 'c'), { generation: 0, state: 'idle' }, 'nobody came')
})

t.test('pages of strangers read under no name', async (t) => {
  const { app } = await serving(t, 1)
  await made(app, 'c', { source: '/streams/s' })
  const code = async (url: string, headers: Record<string, string>) =>
    (await app.inject({ url, headers: { host: 'localhost', ...headers } })).json().code
  for (const query of ['?format=sse&takeover=true', '?takeover=true']) {
    t.equal(await code(`/consumers/c/events${query}`, { origin: 'https://evil.example' }), 'origin-refused')
    t.equal(await code(`/consumers/c/events${query}`, { 'sec-fetch-site': 'cross-site' }), 'origin-refused', 'an image')
  }
  t.match(await shown(app, 'c'), { generation: 0 })
  const own = await app.inject({
    url: '/consumers/c/events',
    headers: { host: 'localhost', origin: 'http://localhost' }
  })
  t.equal(own.statusCode, 200)
})

t.test('a filter that passes everything over moves the place, without an acknowledgement', async (t) => {
  const { app, store, url } = await serving(t, 4)
  await made(app, 'c', { source: '/events?type=Never', checkpointAfterMilliseconds: 1 })
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilFrame('caughtUp')
  await append(app, 's', { type: 'Even' })
  // Its definition is an event of the log, too.
  await eventually('it is at the end', () => Number(socket.all.at(-1)?.cursor) === 5)
  await eventually('its place is, too', () => Number(store.consumers.get('c').cursor) === 5)
  t.equal(socket.all.filter(({ frame }) => frame === 'event').length, 0, 'no event was sent')
})

t.test('who reads without a name is listed as long as it is connected', async (t) => {
  const { app, store, url } = await serving(t, 2)
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
  await eventually('nobody is there', () => store.subscriptions.size === 0)
  t.same((await request(app, 'GET', '/consumers')).json(), { consumers: [], subscriptions: [] })
})

t.test('the lag stands in the metrics, by name', async (t) => {
  const { app } = await serving(t, 3)
  await made(app, 'mail', { source: '/streams/s' })
  const { body } = await app.inject('/metrics')
  t.match(body, /^daybook_consumer_lag_events\{consumer="mail"\} 3$/m)
  t.match(body, /^daybook_consumer_lag_seconds\{consumer="mail"\} \d/m)
})

t.test('of a stream that is deleted for ever it says so', async (t) => {
  const { app } = await serving(t, 2)
  await made(app, 'c', { source: '/streams/s' })
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.match(await shown(app, 'c'), { standsStill: /deleted for ever/ })
  t.equal((await request(app, 'GET', '/consumers')).statusCode, 200)
  t.equal((await app.inject('/consumers/c/events?format=sse')).statusCode, 410)
})

t.test('a failed checkpoint write is retried and delivery goes on', async (t) => {
  const { app, url } = await serving(t, 3)
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
  await made(app, 'c', { source: '/streams/s' })
  const checkpoints = last // its place was written last
  const socket = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await socket.untilEvents(3)
  failing = checkpoints
  socket.send({ frame: 'ack', cursor: '1' })
  await eventually('it failed, and again', () => failed > 1)
  t.match(await shown(app, 'c'), { standsStill: /checkpoints cannot be written: No space left/ })
  await append(app, 's', { type: 'Even' })
  await socket.untilEvents(4)
  t.notOk(
    socket.all.some(({ frame }) => frame === 'acked'),
    'what is not on disk is not answered'
  )
  t.match((await app.inject('/consumers/c/events?takeover=true')).json(), { code: 'read-only' }, 'no new generation')
  await socket.untilFrame('error')
  t.match(
    socket.all.find(({ frame }) => frame === 'error'),
    { code: 'read-only' },
    'the reader is told so'
  )
  failing = undefined
  socket.send({ frame: 'ack', cursor: '1' })
  await socket.untilFrame('acked')
  t.match(await shown(app, 'c'), { cursor: '1', state: 'connected' })
})
