import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import type { Machine } from '../../src/subscriptions/machine.js'
import { systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { hurried, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { appendTo, eventually } from '../helpers/live-events.js'

/** Large enough that what the kernel keeps for a connection is soon full. */
const TEXT = 'x'.repeat(64 * 1024)
const PER_COMMIT = 8

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Appends large events until something has come of it. @returns how many there are */
async function appendUntil(store: Store, isSo: () => boolean, what: string): Promise<number> {
  const end = Date.now() + 30_000
  while (!isSo()) {
    if (Date.now() > end) throw new Error(`it never came to this: ${what}`)
    await appendTo(store, 's', ...Array.from({ length: PER_COMMIT }, () => ({ data: TEXT })))
  }
  return store.log.head + 1
}

/** What one reader keeps in memory: what waits in its connection, and what waits to be sent into it. */
function kept(store: Store): { connection: number; events: number }[] {
  return [...store.subscriptions.all()].map(({ connection, machine }) => ({
    connection: connection.unsent,
    events: machine.buffered
  }))
}

/** Asks, takes the head of the answer, and reads nothing more. */
async function neverReading(t: Test, url: string, lines: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}) // it is cut, and that is heard
  socket.write(`${lines}\r\nHost: x\r\n\r\n`)
  await once(socket, 'data')
  socket.pause()
  return socket
}

const UPGRADE =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='

t.test('a consumer that stops reading is told, then closed, and resumes', async (t) => {
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
  const count = await appendUntil(store, () => store.subscriptions.size === 1, 'the slow are closed')
  t.equal(other.socket.readyState, 1, 'nobody else is')
  await other.untilEvents(count)
  t.same(other.cursors, range(0, count - 1), 'others get all, in order')

  slow.socket.socket.resume()
  slow.blocks.response.resume()
  slow.lines.response.resume()
  // Who reads soon enough still hears why; who does not is cut.
  const { code } = await slow.socket.closed
  const last = slow.socket.all.at(-1)
  if (code === 1013) {
    t.match(last, { frame: 'closing', code: 'too-slow' })
    t.equal(last?.cursor, String(slow.socket.cursors.at(-1)), 'everything up to there was sent')
  } else t.equal(code, 1006)
  t.ok(code === 1013 || code === 1006, `closed with ${code}`)
  if (await slow.blocks.whole) t.match(slow.blocks.all.at(-1), { event: 'closing', data: /"too-slow"/ })
  t.notOk(await slow.lines.whole, 'cut, as what is broken is')

  const seen = { ...slow, lines: { cursors: slow.lines.cursors } }
  for (const [form, { cursors }] of Object.entries(seen)) {
    t.ok(cursors.length < count, `${form} had stopped`)
    const rest = await LiveSocket.open(t, `${path}?after=${cursors.at(-1) ?? -1}`)
    await rest.untilFrame('caughtUp')
    t.same([...cursors, ...rest.cursors], range(0, store.log.head), `${form}: exactly the log`)
    rest.socket.terminate()
  }
})

t.test('who was passed by and reads again is told so, and has everything in the end', async (t) => {
  const { store, url } = await listen(t)
  const slow = await LiveSocket.open(t, `${url}/events`)
  await slow.untilFrame('caughtUp')
  const [subscription] = store.subscriptions.all()
  slow.socket.pause()
  // It waits for the connection, then too much waits for it, then nothing does: it is read from the log again.
  const count = await appendUntil(store, () => subscription?.machine.status === 'catching-up', 'it falls behind')
  t.equal(subscription?.machine.standsStill, 'connection')
  t.equal(subscription?.machine.buffered, 0)
  slow.socket.resume()
  await slow.untilFrame('fellBehind')
  await slow.untilFrame('caughtUp', 2)
  t.same(slow.cursors, range(0, count - 1))
  await appendTo(store, 's', {})
  await slow.untilEvents(count + 1)
  t.same(slow.cursors, range(0, count), 'and goes on live')
})

t.test('who takes little by little is slow, and is waited for; who takes nothing is not', async (t) => {
  let elapsed = 0
  const after = (ms: number, callback: () => void) => systemClock.after(Math.min(ms, 5), callback)
  const drainMs = 10_000
  const { store, url } = await listen(t, { clock: { now: systemClock.now, elapsed: () => elapsed, after }, drainMs })
  const slow = await neverReading(t, url, `GET /events?heartbeat=0 HTTP/1.1\r\n${UPGRADE}`)
  const [subscription] = store.subscriptions.all()
  if (subscription === undefined) throw new Error('nobody reads')
  const { machine, connection } = subscription
  let ticks = 0
  const tick = subscription.tick.bind(subscription)
  subscription.tick = (now) => {
    tick(now)
    ticks++
  }
  const looked = async () => {
    const before = ticks
    await eventually('it was looked at', () => ticks > before + 1 || subscription.closed)
  }
  await eventually('it is live', () => machine.status === 'live')
  // So large that what is taken in one step is a part of it.
  const data = 'x'.repeat(3_900_000)
  await appendTo(store, 's', ...Array.from({ length: 7 }, () => ({ data })))
  await eventually('its connection is full', () => machine.standsStill === 'connection')
  for (let step = 0; step < 4; step++) {
    const { unsent } = connection
    slow.resume()
    await eventually('a part was taken', () => connection.unsent < unsent)
    slow.pause()
    await eventually('the rest was not, or what comes next', () => machine.standsStill === 'connection')
    await looked()
    elapsed += 0.7 * drainMs
    await looked()
    t.notOk(subscription.closed, `${elapsed} ms, and still there`)
  }
  await eventually('it is closed', () => {
    elapsed += 10
    return subscription.closed
  })
})

t.test('what is kept for who never reads is bounded', async (t) => {
  const { store, url } = await listen(t)
  const asked = [
    `GET /events HTTP/1.1\r\n${UPGRADE}`,
    `GET /streams/s?batch=100 HTTP/1.1\r\n${UPGRADE}`,
    'GET /events?format=sse HTTP/1.1',
    'GET /events?live=true HTTP/1.1'
  ]
  for (const lines of asked) await neverReading(t, url, lines)
  const reader = await LiveSocket.open(t, `${url}/streams/s?credit=0`)
  await reader.untilFrame('subscribed')
  t.equal(store.subscriptions.size, 5)
  let most = { connection: 0, events: 0 }
  const look = () => {
    for (const { connection, events } of kept(store)) {
      most = { connection: Math.max(most.connection, connection), events: Math.max(most.events, events) }
    }
  }
  const commits = 100
  for (let i = 0; i < commits; i++) {
    await appendTo(store, 's', ...Array.from({ length: PER_COMMIT }, () => ({ data: TEXT })))
    look()
  }
  const written = commits * PER_COMMIT * TEXT.length
  t.comment(`of ${written} bytes at most ${most.connection} in a connection, ${most.events} events to be sent`)
  t.ok(written > 50_000_000)
  // A buffer that is full, and the page that filled it.
  t.ok(most.connection < 2_000_000, `${most.connection} bytes in one connection`)
  t.ok(most.events * TEXT.length < 3_000_000, `${most.events} events that wait to be sent`)
  t.equal(store.subscriptions.size, 5, 'none of them was closed before its time')
})

t.test('what is kept for who never reads is bounded, also when it begins with the largest events', async (t) => {
  const { store, url } = await listen(t)
  for (let i = 0; i < 8; i++) {
    await appendTo(store, 's', ...Array.from({ length: 4 }, () => ({ data: 'x'.repeat(1024 * 1024) })))
  }
  await neverReading(t, url, `GET /events HTTP/1.1\r\n${UPGRADE}`)
  await neverReading(t, url, 'GET /streams/s?format=sse HTTP/1.1')
  const isFull = ({ machine }: { machine: Machine }) => machine.standsStill === 'connection'
  await eventually('both are full', () => [...store.subscriptions.all()].filter(isFull).length === 2)
  for (const { connection, machine } of store.subscriptions.all()) {
    t.ok(connection.waiting < 8_000_000, `${connection.waiting} bytes in its connection, ${machine.sent} events`)
    await eventually('nothing is kept that cannot be sent for long', () => machine.buffered === 0)
  }
})

t.test('who never reads is cut, and its connection is gone', async (t) => {
  const { app, store, url } = await listen(t, { clock: hurried(20), drainMs: 5000 })
  const connections = () =>
    new Promise<number>((resolve, reject) =>
      app.server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
    )
  const asked = [
    `GET /events?heartbeat=0 HTTP/1.1\r\n${UPGRADE}`,
    'GET /events?format=sse HTTP/1.1',
    'GET /events?live=true HTTP/1.1'
  ]
  for (const lines of asked) await neverReading(t, url, lines)
  t.equal(await connections(), 3)
  await appendUntil(store, () => store.subscriptions.size === 0, 'they are closed')
  let left = Infinity
  await eventually('nothing is left of them', () => {
    void connections().then((count) => (left = count))
    return left === 0
  })
  t.equal(left, 0)
})

t.test('a reader of large events that grants no credit keeps no memory from others', async (t) => {
  const { app, store, url } = await listen(t, { memoryBytes: limits.memory_bytes_min })
  const large = Array.from({ length: 4 }, (_, i) => i)
  for (const i of large) await append(app, 's', { type: 'T', data: `${i}${'x'.repeat(3 * 1024 * 1024)}` })
  const reader = await LiveSocket.open(t, `${url}/streams/s?from=0&credit=1`)
  await reader.untilEvents(1)
  await eventually('its connection is empty', () =>
    [...store.subscriptions.all()].every(({ machine }) => machine.standsStill === 'credit')
  )
  t.ok(store.memory.largeReads.used > 0, 'it holds what was read for it')
  const page = await send(`${url}/streams/s?from=0`, { headers: { accept: 'application/json' } })
  t.equal(page.status, 200)
  reader.send({ frame: 'credit', events: 10 })
  await reader.untilEvents(large.length)
  t.same(
    reader.events.map(({ data }) => Number(String(data)[0])),
    large,
    'and gets every event once'
  )
})
