/** What a consumer is sent again, and what it reports about its last connection. */
import t from 'tap'
import { DeliveryCounts } from '../../src/consumers/delivery-counts.js'
import { append, ask, listen } from '../helpers/app.js'
import { type Event, fastClock, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'

/** Returns cursor and `retryCount` of each event; a missing `retryCount` counts as 0. */
function retryCounts(events: readonly Event[]): [number, number][] {
  return events.map(({ cursor, retryCount = 0 }) => [Number(cursor), retryCount])
}

function pairs(from: number, to: number, retryCount: number): [number, number][] {
  return Array.from({ length: to - from + 1 }, (_, i) => [from + i, retryCount])
}

t.test('an unacknowledged event that is sent again has a retryCount on every transport', async (t) => {
  const { app, store, url } = await listen(t)
  await append(
    app,
    's',
    Array.from({ length: 4 }, () => ({ type: 'T' }))
  )
  await ask(app, 'PUT /consumers/c', {}, { source: '/streams/s' })
  const events = `${url}/consumers/c/events`
  const idle = () => eventually('the consumer is free', () => store.subscriptions.size === 0)

  const lines = await LiveLines.open(t, `${events}?limit=2`, { accept: 'application/x-ndjson' })
  t.ok(await lines.whole)
  t.same(retryCounts(lines.events), pairs(0, 1, 0), 'no event was sent before')
  await idle()
  const blocks = await LiveBlocks.open(t, events)
  await blocks.untilEvents(4)
  t.same(retryCounts(blocks.events), [...pairs(0, 1, 1), ...pairs(2, 3, 0)], 'SSE, after a new connection')
  const socket = await LiveSocket.open(t, `${events}?takeover=true`)
  await socket.untilEvents(4)
  t.same(retryCounts(socket.events), [...pairs(0, 1, 2), ...pairs(2, 3, 1)], 'WebSocket, after a takeover')
  socket.send({ frame: 'ack', cursor: '0' })
  await socket.untilFrame('acked')
  await append(app, 's', { type: 'T' })
  await socket.untilEvents(5)
  t.same(retryCounts(socket.events).slice(4), [[4, 0]], 'a new event has no retryCount')
  await socket.close()
  await idle()
  const batched = await LiveSocket.open(t, `${events}?batch=10`)
  await batched.untilEvents(4)
  t.same(retryCounts(batched.events), [[1, 3], [2, 2], [3, 2], [4, 1]], 'a batch frame') // biome-ignore format: pairs
  await batched.close()
  await idle()
  const page = (await app.inject('/consumers/c/events?limit=1')).json()
  t.same(retryCounts(page.events), [[1, 4]], 'a page')
  const again = await LiveLines.open(t, `${events}?live=true`)
  await again.untilEvents(4)
  t.same(retryCounts(again.events), [[1, 5], [2, 3], [3, 3], [4, 2]], 'NDJSON, after a page') // biome-ignore format: pairs
  again.destroy()
  await idle()

  await ask(app, 'POST /consumers/c/reset', {}, { to: 'start' })
  const reset = await LiveSocket.open(t, events)
  await reset.untilEvents(5)
  t.same(retryCounts(reset.events), pairs(0, 4, 0), 'events after a reset do not count as sent again')
  const other = (await app.inject('/streams/s')).json().events as Event[]
  t.same(retryCounts(other), pairs(0, 4, 0), 'other readers get no retryCount')
})

t.test(
  'events that are not acknowledged in time are sent again with retryCount, over SSE and NDJSON too',
  async (t) => {
    const { app, url } = await listen(t, { clock: fastClock(50) })
    await append(app, 's', [{ type: 'T' }, { type: 'T' }])
    const settings = { source: '/streams/s', messageTimeoutMilliseconds: 10_000, maxRetryCount: 2 }
    const expected = [...pairs(0, 1, 0), ...pairs(0, 1, 1), ...pairs(0, 1, 2)]
    for (const [name, query] of [
      ['sse', 'format=sse'],
      ['ndjson', 'live=true']
    ] as const) {
      await ask(app, `PUT /consumers/${name}`, {}, settings)
      const address = `${url}/consumers/${name}/events?heartbeat=0&${query}`
      const reader = await (name === 'sse' ? LiveBlocks : LiveLines).open(t, address)
      await reader.whole
      const events = reader.events.filter(({ type }) => type === 'T')
      t.same(retryCounts(events), expected, name)
      const { body } = await ask(app, `GET /consumers/${name}`)
      t.match(JSON.parse(body), {
        lastConnection: { by: 'server', code: 'not-acknowledged', detail: /were sent 3 times/ }
      })
    }
  }
)

t.test('GET /consumers reports how and when the last connection of a consumer ended', async (t) => {
  const { app, store, url } = await listen(t)
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  await ask(app, 'PUT /consumers/c', {}, { source: '/streams/s' })
  const events = `${url}/consumers/c/events`
  const getConsumer = async () => {
    const one = JSON.parse((await ask(app, 'GET /consumers/c')).body)
    const { consumers } = JSON.parse((await ask(app, 'GET /consumers')).body)
    t.same(consumers[0].lastConnection, one.lastConnection, 'the list reports the same')
    return one
  }
  const idle = () => eventually('the consumer is free', () => store.subscriptions.size === 0)
  t.equal((await getConsumer()).lastConnection, undefined, 'there was no connection')

  const socket = await LiveSocket.open(t, events)
  await socket.untilEvents(2)
  t.equal((await getConsumer()).lastConnection, undefined, 'the open connection has not ended')
  socket.socket.close(4321, 'tired')
  await socket.closed
  await idle()
  const { lastConnection } = await getConsumer()
  t.match(lastConnection, {
    transport: 'websocket',
    client: '127.0.0.1',
    by: 'client',
    code: undefined,
    detail: 'The client closed the connection with code 4321: tired.'
  })
  t.ok(Date.parse(lastConnection.since) <= Date.parse(lastConnection.ended), 'the connection ended after it began')

  const broken = await LiveSocket.open(t, events)
  await broken.untilEvents(2)
  broken.socket.terminate()
  await idle()
  t.match((await getConsumer()).lastConnection, { by: 'client', detail: 'The connection broke.' })

  const lines = await LiveLines.open(t, `${events}?live=true`)
  await lines.untilEvents(2)
  const blocks = await LiveBlocks.open(t, `${events}?takeover=true`)
  await blocks.untilEvents(2)
  t.match(await getConsumer(), {
    state: 'connected',
    connection: { transport: 'sse' },
    lastConnection: { transport: 'ndjson', by: 'server', code: 'stale-generation', detail: /taken over this consumer/ }
  })
  blocks.destroy()
  await idle()
  t.match((await getConsumer()).lastConnection, {
    transport: 'sse',
    by: 'client',
    detail: /closed the connection, or it broke/
  })

  const whole = await LiveLines.open(t, `${events}?live=true&limit=1`)
  await whole.whole
  t.match((await getConsumer()).lastConnection, { by: 'server', code: 'complete' })
})

t.test('retryCount counts every delivery, even if earlier events were acknowledged in between', async (t) => {
  const random = seeded(t)
  for (let round = 0; round < 200 && t.passing(); round++) {
    const counts = new DeliveryCounts()
    const times = Array.from({ length: 40 }, () => 0)
    let place = -1
    for (let pass = 0; pass < 12; pass++) {
      counts.startOver(place)
      const to = Math.min(39, place + random.int(0, 20))
      const before = times.slice(place + 1)
      const found = before.map((_, i) => counts.retryCount(place + 1 + i))
      if (!t.same(found, before, `round ${round}, pass ${pass}`)) return
      if (to > place) counts.sent(to)
      for (let cursor = place + 1; cursor <= to; cursor++) times[cursor] = (times[cursor] as number) + 1
      if (random.chance(0.4)) place = random.int(place, Math.max(place, to))
    }
  }
})
