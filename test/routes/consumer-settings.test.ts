/** Every setting of a consumer has the effect that native contract §7 describes. */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Level } from '../../src/log/level.js'
import type { Clock } from '../../src/time/clock.js'
import { systemClock } from '../../src/time/clock.js'
import { append, listen, openApp } from '../helpers/app.js'
import { fastClock, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

const manyEvents = (count: number) => Array.from({ length: count }, (_, data) => ({ type: 'T', data }))

/** Opens a server with a consumer of stream s that has these settings, and with this number of events in s. */
async function consumer(t: Test, settings: object, events: number, clock: Clock = systemClock) {
  const opened = await listen(t, { clock })
  await append(opened.app, 's', manyEvents(events))
  const payload = { source: '/streams/s', ...settings }
  const { statusCode, body } = await opened.app.inject({ method: 'PUT', url: '/consumers/c', payload })
  if (statusCode !== 201) throw new Error(body)
  return { ...opened, address: `${opened.url}/consumers/c/events` }
}

const getConsumer = async (app: FastifyInstance) => (await app.inject('/consumers/c')).json()

t.test('bufferSize limits the number of events in flight', async (t) => {
  const { app, address } = await consumer(t, { bufferSize: 3 }, 10)
  const socket = await LiveSocket.open(t, address)
  for (const sent of [3, 5, 8]) {
    await socket.untilEvents(sent)
    await socket.fence()
    t.equal(socket.events.length, sent)
    t.match(await getConsumer(app), { connection: { inFlight: 3, standsStill: 'acknowledgement' } })
    socket.send({ frame: 'ack', cursor: String(sent === 3 ? 1 : sent - 1) })
  }
  await socket.untilEvents(10)
  t.same(socket.cursors, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
})

t.test('readBatchSize is the number of events per read', async (t) => {
  const { store, address } = await consumer(t, { readBatchSize: 4 }, 10)
  const spans = store.reader.spans.bind(store.reader)
  const sizes: number[] = []
  store.reader.spans = async function* (...args) {
    for await (const span of spans(...args)) {
      sizes.push(span.events.length)
      yield span
    }
  }
  const socket = await LiveSocket.open(t, address)
  await socket.untilFrame('caughtUp')
  t.same(sizes, [4, 4, 2])
})

t.test('events beyond liveBufferSize are read from the log again', async (t) => {
  const { app, address } = await consumer(t, { bufferSize: 1, liveBufferSize: 2 }, 1)
  const socket = await LiveSocket.open(t, address)
  await socket.untilEvents(1)
  socket.send({ frame: 'ack', cursor: '0' })
  await socket.untilFrame('caughtUp')
  await append(app, 's', manyEvents(3))
  await socket.untilEvents(2)
  await socket.fence()
  t.notOk(socket.others.includes('fellBehind'), 'two events may wait')
  await append(app, 's', manyEvents(3))
  await socket.untilFrame('fellBehind')
  for (let cursor = 1; cursor < 6; cursor++) {
    socket.send({ frame: 'ack', cursor: String(cursor) })
    await socket.untilEvents(cursor + 2)
  }
  t.same(socket.cursors, [0, 1, 2, 3, 4, 5, 6])
})

t.test('a consumer writes at most maxCheckpointsPerEpoch checkpoints per epoch; later ones are combined', async (t) => {
  let elapsed = 0
  const due: { at: number; callback: () => void }[] = []
  const clock: Clock = {
    now: systemClock.now,
    elapsed: () => elapsed,
    after(ms, callback) {
      const one = { at: elapsed + ms, callback }
      due.push(one)
      return () => due.splice(due.indexOf(one), due.includes(one) ? 1 : 0)
    }
  }
  const pass = (ms: number) => {
    elapsed += ms
    for (const one of due.filter(({ at }) => at <= elapsed)) {
      due.splice(due.indexOf(one), 1)
      one.callback()
    }
  }
  const { store } = await openApp(t, { clock })
  const { writeSynced } = Level.prototype
  const definition = {
    name: 'c',
    source: '/streams/s',
    from: 'start',
    settings: { ...DEFAULTS, checkpointAfterMilliseconds: 60_000, maxCheckpointsPerEpoch: 3 }
  }
  const { consumer } = await store.consumers.define(definition, async () => -1)
  pass(60_000)
  let writes = 0
  Level.prototype.writeSynced = function (batch) {
    writes++
    return writeSynced.call(this, batch)
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  for (let cursor = 0; cursor < 3; cursor++) await consumer.acknowledge(cursor, 0, 99)
  t.equal(writes, 3, 'the first three are written at once')
  const rest = [3, 4, 5, 6].map((cursor) => consumer.acknowledge(cursor, 0, 99))
  await eventually('the others wait', () => due.some(({ at }) => at === elapsed + 60_000))
  t.equal(writes, 3)
  pass(60_000)
  await Promise.all(rest)
  t.equal(writes, 4, 'the waiting ones are written as one')
  t.match(store.places.get('consumer', 'c'), { cursor: 6 })
})

const DEFAULTS = {
  readBatchSize: 500,
  bufferSize: 500,
  liveBufferSize: 500,
  messageTimeoutMilliseconds: 0,
  maxRetryCount: 10,
  expiresAfter: undefined
}

t.test('unacknowledged events are resent maxRetryCount times at most, then the reader is closed', async (t) => {
  const settings = { messageTimeoutMilliseconds: 10_000, maxRetryCount: 2 }
  const { app, address } = await consumer(t, settings, 3, fastClock(50))
  const socket = await LiveSocket.open(t, `${address}?heartbeat=0`)
  await socket.untilEvents(3)
  socket.send({ frame: 'ack', cursor: '0' })
  t.same(await socket.closed, { code: 4408, reason: 'not-acknowledged' })
  const sent = socket.all.flatMap(({ cursor, event }) => (event === undefined ? [] : [[cursor, event.retryCount ?? 0]]))
  t.same(sent, [
    ['0', 0],
    ['1', 0],
    ['2', 0],
    ['1', 1],
    ['2', 1],
    ['1', 2],
    ['2', 2]
  ])
  t.match(await getConsumer(app), { cursor: '0', state: 'idle' })
  const again = await LiveSocket.open(t, `${address}?heartbeat=0`)
  await again.untilEvents(2)
  t.same(again.cursors, [1, 2], 'it continues after the last acknowledged event')
})
