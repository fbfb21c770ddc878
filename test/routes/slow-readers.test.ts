import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import type { Machine } from '../../src/subscriptions/machine.js'
import { systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { fastClock, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { appendTo, eventually } from '../helpers/live-events.js'

/** Large enough to fill the kernel buffers of a connection soon. */
const TEXT = 'x'.repeat(64 * 1024)
const PER_COMMIT = 8

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Appends large events until a condition holds. @returns the number of events in the log */
async function appendUntil(store: Store, condition: () => boolean, what: string): Promise<number> {
  const end = Date.now() + 30_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`30 s have passed without this: ${what}`)
    await appendTo(store, 's', ...Array.from({ length: PER_COMMIT }, () => ({ data: TEXT })))
  }
  return store.log.head + 1
}

/** The bytes that wait in the connection of each reader, and the events that are buffered for it. */
function buffers(store: Store): { connection: number; events: number }[] {
  return [...store.subscriptions.all()].map(({ connection, machine }) => ({
    connection: connection.unsent,
    events: machine.buffered
  }))
}

/** Sends a request, reads the head of the answer, and then nothing more. */
async function connectUnread(t: Test, url: string, lines: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}) // the server cuts it off
  socket.write(`${lines}\r\nHost: x\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  return socket
}

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='

t.test('a reader that stops reading is told, then closed, and can resume without a loss', async (t) => {
  const { store, url } = await listen(t, { drainMs: 1000 })
  const path = `${url}/streams/s`
  const other = await LiveSocket.open(t, path)
  const slow = {
    socket: await LiveSocket.open(t, path),
    blocks: await LiveBlocks.open(t, path),
    lines: await LiveLines.open(t, `${path}?live=true`)
  }
  await slow.socket.untilFrame('caughtUp')
  await slow.blocks.untilNamed('caughtUp')
  slow.socket.socket.pause()
  slow.blocks.response.pause()
  slow.lines.response.pause()
  const count = await appendUntil(store, () => store.subscriptions.size === 1, 'the slow readers are closed')
  t.equal(other.socket.readyState, 1, 'the other reader stays connected')
  await other.untilEvents(count)
  t.same(other.cursors, range(0, count - 1), 'the other reader receives every event, in order')

  slow.socket.socket.resume()
  slow.blocks.response.resume()
  slow.lines.response.resume()
  // A reader that resumes soon enough still receives the reason. Otherwise its connection is cut off.
  const { code } = await slow.socket.closed
  const last = slow.socket.all.at(-1)
  if (code === 1013) {
    t.match(last, { frame: 'closing', code: 'too-slow' })
    t.equal(last?.cursor, String(slow.socket.cursors.at(-1)), 'the cursor is that of the last event sent')
  } else t.equal(code, 1006)
  t.ok(code === 1013 || code === 1006, `closed with ${code}`)
  if (await slow.blocks.whole) t.match(slow.blocks.all.at(-1), { event: 'closing', data: /"too-slow"/ })
  t.notOk(await slow.lines.whole, 'cut off before its end')

  const seen = { ...slow, lines: { cursors: slow.lines.cursors } }
  for (const [form, { cursors }] of Object.entries(seen)) {
    t.ok(cursors.length < count, `${form} had stopped`)
    const rest = await LiveSocket.open(t, `${path}?after=${cursors.at(-1) ?? -1}`)
    await rest.untilFrame('caughtUp')
    t.same([...cursors, ...rest.cursors], range(0, store.log.head), `${form}: exactly the log`)
    rest.socket.terminate()
  }
})

t.test('a reader that falls behind and reads again is told so, and receives every event in the end', async (t) => {
  const { store, url } = await listen(t)
  const slow = await LiveSocket.open(t, `${url}/events`)
  await slow.untilFrame('caughtUp')
  const [subscription] = store.subscriptions.all()
  slow.socket.pause()
  // First the reader waits for its connection. Then its buffer overflows and is dropped, and events are read from the
  // log again.
  const count = await appendUntil(
    store,
    () => subscription?.machine.status === 'catching-up',
    'the reader falls behind'
  )
  t.equal(subscription?.machine.standsStill, 'connection')
  t.equal(subscription?.machine.buffered, 0)
  slow.socket.resume()
  await slow.untilFrame('fellBehind')
  await slow.untilFrame('caughtUp', 2)
  t.same(slow.cursors, range(0, count - 1))
  await appendTo(store, 's', {})
  await slow.untilEvents(count + 1)
  t.same(slow.cursors, range(0, count), 'then the reader continues live')
})

t.test('a reader that receives data slowly stays connected; a reader that receives no data is closed', async (t) => {
  let elapsed = 0
  const after = (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 5), callback)
  const drainMs = 10_000
  const { store, url } = await listen(t, { clock: { now: systemClock.now, elapsed: () => elapsed, after }, drainMs })
  const slow = await connectUnread(t, url, `GET /events?heartbeat=0 HTTP/1.1\r\n${UPGRADE}`)
  const [subscription] = store.subscriptions.all()
  if (subscription === undefined) throw new Error('no subscription was opened')
  const { machine, connection } = subscription
  let ticks = 0
  const tick = subscription.tick.bind(subscription)
  subscription.tick = (now) => {
    tick(now)
    ticks++
  }
  const untilTicked = async () => {
    const before = ticks
    await eventually('the subscription was ticked', () => ticks > before + 1 || subscription.closed)
  }
  await eventually('the reader is live', () => machine.status === 'live')
  // So large that one read takes only a part of it.
  const data = 'x'.repeat(3_900_000)
  await appendTo(store, 's', ...Array.from({ length: 7 }, () => ({ data })))
  await eventually('its connection is full', () => machine.standsStill === 'connection')
  for (let step = 0; step < 4; step++) {
    const { unsent } = connection
    slow.resume()
    await eventually('a part was read', () => connection.unsent < unsent)
    slow.pause()
    await eventually('the connection is full again', () => machine.standsStill === 'connection')
    await untilTicked()
    elapsed += 0.7 * drainMs
    await untilTicked()
    t.notOk(subscription.closed, `still connected after ${elapsed} ms`)
  }
  await eventually('the reader is closed', () => {
    elapsed += 10
    return subscription.closed
  })
})

t.test('the memory for a reader that never reads is bounded', async (t) => {
  const { store, url } = await listen(t)
  const asked = [
    `GET /events HTTP/1.1\r\n${UPGRADE}`,
    `GET /streams/s?batch=100 HTTP/1.1\r\n${UPGRADE}`,
    'GET /events?format=sse HTTP/1.1',
    'GET /events?live=true HTTP/1.1'
  ]
  for (const lines of asked) await connectUnread(t, url, lines)
  const reader = await LiveSocket.open(t, `${url}/streams/s?credit=0`)
  await reader.untilFrame('subscribed')
  t.equal(store.subscriptions.size, 5)
  let most = { connection: 0, events: 0 }
  const look = () => {
    for (const { connection, events } of buffers(store)) {
      most = { connection: Math.max(most.connection, connection), events: Math.max(most.events, events) }
    }
  }
  const commits = 100
  for (let i = 0; i < commits; i++) {
    await appendTo(store, 's', ...Array.from({ length: PER_COMMIT }, () => ({ data: TEXT })))
    look()
  }
  const written = commits * PER_COMMIT * TEXT.length
  t.comment(`of ${written} bytes at most ${most.connection} in a connection, ${most.events} events buffered`)
  t.ok(written > 50_000_000)
  // A full buffer, and the page that filled it.
  t.ok(most.connection < 2_000_000, `${most.connection} bytes in one connection`)
  t.ok(most.events * TEXT.length < 3_000_000, `${most.events} events buffered`)
  t.equal(store.subscriptions.size, 5, 'no reader was closed early')
})

t.test(
  'the memory for a reader that never reads is bounded, also when it begins with the largest events',
  async (t) => {
    const { store, url } = await listen(t)
    for (let i = 0; i < 8; i++) {
      await appendTo(store, 's', ...Array.from({ length: 4 }, () => ({ data: 'x'.repeat(1024 * 1024) })))
    }
    await connectUnread(t, url, `GET /events HTTP/1.1\r\n${UPGRADE}`)
    await connectUnread(t, url, 'GET /streams/s?format=sse HTTP/1.1')
    const isFull = ({ machine }: { machine: Machine }) => machine.standsStill === 'connection'
    await eventually('both connections are full', () => [...store.subscriptions.all()].filter(isFull).length === 2)
    for (const { connection, machine } of store.subscriptions.all()) {
      t.ok(connection.waiting < 8_000_000, `${connection.waiting} bytes in its connection, ${machine.sent} events`)
      await eventually('events that cannot be sent are not held for long', () => machine.buffered === 0)
    }
  }
)

t.test('a reader that never reads is cut off, and its connection is closed', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(20), drainMs: 5000 })
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    )
  const asked = [
    `GET /events?heartbeat=0 HTTP/1.1\r\n${UPGRADE}`,
    'GET /events?format=sse HTTP/1.1',
    'GET /events?live=true HTTP/1.1'
  ]
  for (const lines of asked) await connectUnread(t, url, lines)
  t.equal(await connections(), 3)
  await appendUntil(store, () => store.subscriptions.size === 0, 'the readers are closed')
  let left = Infinity
  await eventually('no connection is left', () => {
    void connections().then((count) => (left = count))
    return left === 0
  })
  t.equal(left, 0)
})

t.test('a reader of large events without credit leaves memory for other requests', async (t) => {
  const { app, store, url } = await listen(t, { memoryBytes: limits.memory_bytes_min })
  const large = Array.from({ length: 4 }, (_, i) => i)
  for (const i of large) await append(app, 's', { type: 'T', data: `${i}${'x'.repeat(3 * 1024 * 1024)}` })
  const reader = await LiveSocket.open(t, `${url}/streams/s?from=0&credit=1`)
  await reader.untilEvents(1)
  await eventually('its connection is empty', () =>
    [...store.subscriptions.all()].every(({ machine }) => machine.standsStill === 'credit')
  )
  t.ok(store.memory.largeReads.used > 0, 'the events that were read for it are held')
  const page = await send(`${url}/streams/s?from=0`, { headers: { accept: 'application/json' } })
  t.equal(page.status, 200)
  reader.send({ frame: 'credit', events: 10 })
  await reader.untilEvents(large.length)
  t.same(
    reader.events.map(({ data }) => Number(String(data)[0])),
    large,
    'it receives every event once'
  )
})
