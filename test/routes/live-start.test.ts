/** Live reads that come before the store is open, and live reads that cannot be served now. */
import { request } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { type AppOptions, buildApp } from '../../routes/index.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import type { Clock } from '../../src/time/clock.js'
import { append } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { type Block, fastClock, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { appendTo, eventually, many } from '../helpers/live-events.js'
import { admin } from '../helpers/people.js'

const SSE = { accept: 'text/event-stream' }
const LOAD = { connections: 1000, connectionsPerAddress: 0, requestsPerSecond: 0, requestsInFlight: 1000 }

interface Early {
  readonly app: FastifyInstance
  readonly store: Store
  readonly url: string
  /** Waits until the server has received this many requests. */
  untilReceived(count: number): Promise<void>
}

/** Opens a server over a store with three events. The store opens when the test says so. */
async function listenEarly(t: Test, options: AppOptions & { clock?: Clock } = {}): Promise<Early> {
  let opened: FastifyInstance | undefined
  // Registered before the folder is created: tap then closes the app first, and removes the folder last.
  t.teardown(() => opened?.close())
  const directory = t.testdir({})
  const before = await new Store({ directory }).open()
  await appendTo(before, 's', ...many(3))
  await before.close()
  const { insecure = true, clock } = options
  const store = new Store({ directory, anonymous: true, ...(clock && { clock }) })
  const app = await buildApp(store, { logLevel: 'silent', ...options, insecure })
  opened = app
  let requests = 0
  for (const event of ['request', 'upgrade']) app.server.on(event, () => requests++)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, store, url, untilReceived: (count) => eventually(`${count} requests`, () => requests >= count) }
}

/** Parses the only block of an event stream that was refused. */
function refusalOf(blocks: readonly Block[]): { retry: number; id: string | undefined; problem: { code: string } } {
  const [{ event, retry, id, data = '' } = {}] = blocks
  if (blocks.length !== 1 || event !== 'closing') throw new Error(`not one closing: ${JSON.stringify(blocks)}`)
  return { retry: Number(retry), id, problem: JSON.parse(data) }
}

async function refusedAt(t: Test, url: string, headers = {}) {
  const stream = await LiveBlocks.open(t, url, headers)
  await stream.whole
  return { status: stream.status, type: stream.response.headers['content-type'], ...refusalOf(stream.all) }
}

t.test('an event stream requested before the store is open is answered once it is open', async (t) => {
  const { store, url, untilReceived } = await listenEarly(t)
  const streams = ['/streams/s?from=0', '/events?from=0', '/streams/s?from=0&format=sse'].map((path) =>
    LiveBlocks.open(t, url + path)
  )
  await untilReceived(3)
  t.equal((await send(`${url}/livez`)).status, 200, 'other requests are answered meanwhile')
  t.match(
    await send(`${url}/streams/s`, { headers: { accept: '*/*' } }),
    { status: 503, text: /starting/ },
    'a page is not held'
  )
  await store.open()
  for (const stream of await Promise.all(streams)) {
    t.equal(stream.status, 200)
    await stream.untilEvents(3)
    t.same(stream.cursors, [0, 1, 2])
    stream.destroy()
  }
})

t.test('NDJSON reads and WebSockets requested before the store is open are answered once it is open', async (t) => {
  const { store, url, untilReceived } = await listenEarly(t)
  const lines = LiveLines.open(t, `${url}/streams/s?from=0&live=true`)
  const socket = LiveSocket.open(t, `${url}/streams/s?from=0`)
  await untilReceived(2)
  await store.open()
  for (const reader of [await lines, await socket]) {
    await reader.untilEvents(3)
    t.same(reader.cursors, [0, 1, 2])
  }
})

t.test('access rights are checked once the store is open', async (t) => {
  const { store, url, untilReceived } = await listenEarly(t, { insecure: false })
  const refused = LiveBlocks.open(t, `${url}/streams/$settings`)
  const wrong = LiveBlocks.open(t, `${url}/streams/s`, { authorization: 'Basic YWRtaW46d3Jvbmc=' })
  const permitted = LiveBlocks.open(t, `${url}/streams/$settings`, admin)
  const nowhere = LiveBlocks.open(t, `${url}/streams/never?after=0`, { 'last-event-id': 'nonsense' })
  await untilReceived(4)
  await store.open()
  t.equal((await refused).status, 401)
  t.equal((await wrong).status, 401)
  t.equal((await permitted).status, 200)
  t.equal((await nowhere).status, 400)
})

t.test('after ten seconds a held event stream gets a closing event that says when to reconnect', async (t) => {
  const { store, url, untilReceived } = await listenEarly(t, { clock: fastClock(100) })
  const began = Date.now()
  const again = { 'last-event-id': '1' }
  const [first, resumed] = await Promise.all([refusedAt(t, `${url}/streams/s`), refusedAt(t, `${url}/events`, again)])
  t.ok(Date.now() - began >= limits.early_live_ms / 100 - 5, 'the request was held')
  t.match(first, { status: 200, type: /^text\/event-stream/, problem: { code: 'starting', status: 503 } })
  t.equal(first.id, undefined)
  t.equal(resumed.id, '1', 'the cursor of the client is kept')
  for (const { retry } of [first, resumed]) {
    t.ok(retry >= limits.refused_retry_ms_min && retry <= limits.refused_retry_ms_max, `${retry} ms`)
  }
  const socket = LiveSocket.open(t, `${url}/streams/s`)
  await t.rejects(socket, /refused with 503/)
  t.equal((await LiveLines.open(t, `${url}/streams/s?live=true`)).status, 503)
  await untilReceived(4)
  await store.open()
  t.match(await refusedCounts(store), /daybook_live_refused_total\{code="starting"\} 4/, 'refusals are counted')
})

t.test('refused event streams get different times to reconnect', async (t) => {
  const { url } = await listenEarly(t, { clock: fastClock(10_000) })
  const refusals = await Promise.all(Array.from({ length: 20 }, () => refusedAt(t, `${url}/streams/s`)))
  t.ok(new Set(refusals.map(({ retry }) => retry)).size > 5)
})

t.test('a held client that disconnects leaves nothing behind', async (t) => {
  const { app, store, url, untilReceived } = await listenEarly(t)
  const gone = request(`${url}/streams/s`, { agent: false, headers: SSE })
  gone.on('error', () => {})
  gone.end()
  await untilReceived(1)
  gone.destroy()
  await eventually('no connection', () => (app.server as unknown as { _connections: number })._connections === 0)
  await store.open()
  const stream = await LiveBlocks.open(t, `${url}/streams/s?from=0`)
  await stream.untilEvents(3)
  t.equal(store.subscriptions.size, 1)
})

t.test('a live read beyond heldMax is refused at once', async (t) => {
  const { url, untilReceived } = await listenEarly(t, { heldMax: 2 })
  const held = [LiveBlocks.open(t, `${url}/streams/s`), LiveBlocks.open(t, `${url}/streams/s`)]
  await untilReceived(2)
  t.match(await refusedAt(t, `${url}/streams/s`), { status: 200, problem: { code: 'starting' } })
  for (const one of held) one.catch(() => {})
})

t.test('a server that stops while it starts answers the live reads that it holds', async (t) => {
  const { app, url, untilReceived } = await listenEarly(t)
  const held = refusedAt(t, `${url}/streams/s`)
  await untilReceived(1)
  await app.close()
  t.match(await held, { status: 200, problem: { code: /starting|stopping/ } })
})

t.test('held live reads are told why the store failed to open', async (t) => {
  const { store, url, untilReceived } = await listenEarly(t)
  const held = refusedAt(t, `${url}/streams/s`)
  await untilReceived(1)
  store.status = 'failed'
  store.reason = 'the disk is gone'
  t.match(await held, { status: 200, problem: { code: 'starting', detail: /the disk is gone/ } })
})

t.test('an event stream beyond the request rate gets a closing event, so that an EventSource reconnects', async (t) => {
  const { app, store, url } = await listenEarly(t, { load: { ...LOAD, requestsPerSecond: 3 } })
  await store.open()
  await append(app, 's', { type: 'T' })
  for (;;) {
    const stream = await LiveBlocks.open(t, `${url}/streams/s`, { 'last-event-id': '0' })
    t.equal(stream.status, 200)
    if (stream.response.headers['content-length'] === undefined) stream.destroy()
    else {
      await stream.whole
      t.match(refusalOf(stream.all), { id: '0', problem: { code: 'too-many-requests', status: 429, limit: 3 } })
      break
    }
  }
  const page = async () => (await send(`${url}/streams/s`)).status
  while ((await page()) !== 429);
  t.pass('a page is still answered 429')
})

t.test(
  'a full server sends an event stream a closing event, and answers NDJSON reads and WebSockets with 503',
  async (t) => {
    const { store, url } = await listenEarly(t)
    await store.open()
    store.subscriptions.checkRoom = () => {
      throw new DaybookError('overloaded', 'full', { retry: true })
    }
    t.match(await refusedAt(t, `${url}/streams/s`), { problem: { code: 'overloaded', status: 503, detail: 'full' } })
    t.equal((await LiveLines.open(t, `${url}/streams/s?live=true`)).status, 503)
    await t.rejects(LiveSocket.open(t, `${url}/streams/s`), /refused with 503/)
    t.match(await refusedCounts(store), /daybook_live_refused_total\{code="overloaded"\} 3/)
  }
)

t.test('errors that waiting does not cure keep their status for event streams', async (t) => {
  const { app, store, url } = await listenEarly(t, { insecure: false })
  await store.open()
  await append(app, 'gone', { type: 'T' })
  await app.inject({ method: 'DELETE', url: '/streams/gone?permanent=true' })
  const statusOf = async (path: string, headers = {}) => (await LiveBlocks.open(t, url + path, headers)).status
  t.equal(await statusOf('/streams/gone'), 410)
  t.equal(await statusOf('/streams/$settings'), 401)
  t.equal(await statusOf('/streams/s?typ=T'), 400)
  t.equal(await statusOf('/streams/s?order=desc'), 400)
  t.equal(await statusOf('/nowhere'), 404)
})

t.test('the closing event of an open stream says when to reconnect, unless the stream is complete', async (t) => {
  const { app, store, url } = await listenEarly(t)
  await store.open()
  const complete = await LiveBlocks.open(t, `${url}/streams/s?from=0&limit=1`)
  await complete.whole
  t.equal(complete.all.at(-1)?.retry, undefined)
  const stream = await LiveBlocks.open(t, `${url}/streams/s?from=0`)
  await stream.untilEvents(3)
  const first = Number(stream.all[0]?.retry)
  t.ok(first >= limits.live_retry_ms_min && first <= limits.live_retry_ms_max, `${first} ms`)
  const closed = app.close()
  await stream.whole
  await closed
  const { event, retry, id } = stream.all.at(-1) as Block
  t.match({ event, id }, { event: 'closing', id: '2' })
  t.ok(Number(retry) >= limits.live_retry_ms_min && Number(retry) <= limits.live_retry_ms_max, `${retry} ms`)
})

/** Returns the lines of the metrics that count refused live reads. */
async function refusedCounts(store: Store): Promise<string> {
  return store.metrics.registry.getSingleMetricAsString('daybook_live_refused_total')
}
