/** The limits on open connections, and which connection is closed when there are too many. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect as connectSocket, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makeCertificate } from '../../src/commands/serve/certificate.js'
import { connectionRoom } from '../../src/commands/serve/connection-room.js'
import { limits } from '../../src/limits.js'
import { append, listen } from '../helpers/app.js'
import { serve } from '../helpers/cli.js'
import { movedClock } from '../helpers/clock.js'
import { send } from '../helpers/http.js'
import { fastClock, LiveBlocks, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { listenRaw, type RawSocket } from '../helpers/raw.js'

const LOAD = { connections: 4, connectionsPerAddress: 0, requestsPerSecond: 0, requestsInFlight: 1000 }
const PING = 'GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n'

/** Sends a ping and waits for its answer. @param times number of answers that this connection has received by then */
async function ping(socket: RawSocket, times = 1): Promise<RawSocket> {
  socket.write(PING)
  await socket.until(new RegExp('200 OK[\\s\\S]*'.repeat(times)))
  return socket
}

t.test('beyond the limit the connection that has been idle longest is closed', async (t) => {
  const { connect, store } = await listenRaw(t, { load: LOAD })
  const [first, second, third] = [await ping(connect()), await ping(connect()), await ping(connect())]
  await ping(connect())
  await ping(first as RawSocket, 2)
  const fifth = await ping(connect())
  await Promise.race([second?.closed, third?.closed])
  await ping(first as RawSocket, 3)
  await ping(fifth, 2)
  t.match(await store.metrics.registry.getSingleMetricAsString('daybook_connections_closed_total'), / 1$/m)
  t.match(await store.metrics.registry.getSingleMetricAsString('daybook_connections'), / 4$/m)
})

t.test('connections that never sent a request are closed before used ones', async (t) => {
  const clock = movedClock()
  const { app, connect, url } = await listenRaw(t, { load: { ...LOAD, connections: 8 }, clock })

  const used = [await ping(connect()), await ping(connect()), await ping(connect())]
  const silent = Array.from({ length: 5 }, () => connect())
  await eventually('eight connections', () => connectionsOf(app) === 8)
  clock.ahead += limits.silent_connection_ms
  const next = await Promise.all(Array.from({ length: 5 }, async () => ping(connect())))
  for (const { closed } of silent) await closed
  for (const socket of [...used, ...next]) await ping(socket, 2)
  t.equal((await send(`${url}/livez`)).status, 200, 'new connections are accepted')
})

t.test('connections in use are never closed; when all are in use, the new connection is closed', async (t) => {
  const { app, connect, url } = await listenRaw(t, { load: LOAD })
  await append(app, 's', { type: 'T' })
  let requests = 0
  app.server.on('request', () => requests++)
  const live = await LiveBlocks.open(t, `${url}/streams/s?from=0`)
  const socket = await LiveSocket.open(t, `${url}/streams/s?from=0`)
  const polling = connect()
  polling.write('GET /streams/s?after=0&wait=60 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n')
  const sending = connect()
  sending.write(
    'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{'
  )
  await live.untilEvents(1)
  await socket.untilEvents(1)
  await eventually('three requests have come', () => requests === 3)
  for (let i = 0; i < 20; i++) {
    const late = connect()
    late.write(PING)
    t.equal(await late.closed, '', 'without an answer')
  }
  sending.write('"type":"T"}')
  await sending.until(/201 Created/)
  await polling.until(/"number":1/)
  await live.untilEvents(2)
  await socket.untilEvents(2)
  t.pass('all connections in use went on')
})

function connectionsOf({ server }: { server: object }): number {
  return (server as { _connections: number })._connections
}

t.test('a TLS connection counts once, and the one that has been idle longest is closed', async (t) => {
  const tls = await makeCertificate(Date.now())
  const { store, url } = await listen(t, { tls, load: { ...LOAD, connections: 2 } })
  const open = async () => {
    const socket = connectTls({
      port: Number(new URL(url).port),
      host: '127.0.0.1',
      ca: tls.cert,
      servername: 'localhost'
    })
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(PING)
    await once(socket, 'data')
    return socket
  }
  const closed = once(await open(), 'close')
  const second = await open()
  await open()
  await closed
  t.match(await store.metrics.registry.getSingleMetricAsString('daybook_connections'), / 2$/m)
  second.write(PING)
  await once(second, 'data')
  t.pass('the second connection is still open')
})

t.test('one address cannot take all connections', async (t) => {
  const { connect } = await listenRaw(t, { load: { ...LOAD, connections: 6, connectionsPerAddress: 1000 } })
  const opened = [await ping(connect()), await ping(connect()), await ping(connect())]
  const fourth = connect()
  fourth.write(PING)
  t.match(await fourth.closed, /^HTTP\/1\.1 429 [\s\S]*Connection: close/i)
  for (const socket of opened) await ping(socket, 2)
})

t.test(
  'an event stream beyond the connection limit gets a closing event, so that its client reconnects later',
  async (t) => {
    const { connect } = await listenRaw(t, { load: { ...LOAD, connectionsPerAddress: 1 } })
    await ping(connect())
    const stream = connect()
    stream.write('GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n')
    t.match(await stream.closed, /^HTTP\/1\.1 200 [\s\S]*event: closing\ndata: {[^}]*"too-many-connections"/)
  }
)

t.test('a silent connection beyond the limit is closed, even if its client keeps its side open', async (t) => {
  const { app, connect, url } = await listenRaw(t, {
    load: { ...LOAD, connectionsPerAddress: 1 },
    clock: fastClock(20)
  })
  await ping(connect())
  const silent = connectSocket({ port: Number(new URL(url).port), allowHalfOpen: true })
  let received = ''
  silent.on('data', (chunk) => (received += chunk))
  silent.on('error', () => {})
  t.teardown(() => silent.destroy())
  await eventually('the refusal has come', () => received.includes('too-many-connections'))
  await eventually('the connection is closed', () => connectionsOf(app) === 1)
  t.pass('the server keeps no half-open connection')
})

t.test('a refused WebSocket handshake leaves no connection behind', async (t) => {
  const { app, url } = await listenRaw(t, { insecure: false })
  const upgrade =
    'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n'
  for (const path of ['/streams/$settings', '/ping', '/nowhere', '/streams/%zz', '/streams/s?typ=T']) {
    const socket = connectSocket({ port: Number(new URL(url).port), allowHalfOpen: true })
    let received = ''
    socket.on('data', (chunk) => (received += chunk))
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    socket.write(`GET ${path} HTTP/1.1\r\n${upgrade}`)
    await eventually('the handshake is refused', () => /^HTTP\/1\.1 4\d\d /.test(received))
    await eventually(`${path}: the connection is closed`, () => connectionsOf(app) === 0)
  }
  t.pass('all connections were closed')
})

t.test('the memory budget and the limit of file descriptors set the number of connections', (t) => {
  const MiB = 2 ** 20
  t.same(connectionRoom(512 * MiB, Infinity), { connections: 16_384, warning: undefined })
  t.same(connectionRoom(64 * MiB, 1_048_576), { connections: 2048, warning: undefined })
  t.match(connectionRoom(512 * MiB, 1024), { connections: 755, warning: /limit 1024 .*755 connections.*20560/ })
  t.throws(() => connectionRoom(512 * MiB, 119), {
    code: 'resource-unusable',
    message: /limit is 119,.* needs at least 120/
  })
  t.end()
})

const limited = { skip: process.platform === 'linux' ? false : 'needs /proc' }

t.test(
  'a server under a flood of connections stays below its descriptor limit, serves others, and recovers',
  limited,
  async (t) => {
    const { child, url, banner } = await serve(['serve', '--db', t.testdir({}), '--port', '0'], { descriptors: 256 })
    t.teardown(() => child.kill('SIGKILL'))
    const port = Number(new URL(url).port)
    t.match(banner, /the file descriptor limit 256 allows 140 connections only/)
    await send(`${url}/streams/s`, { method: 'POST', headers: { 'content-type': 'application/json' } }, '{"type":"T"}')
    const live = await LiveBlocks.open(t, `${url}/streams/s?from=0`)
    await live.untilEvents(1)
    const open: Socket[] = []
    let closed = 0
    for (let i = 0; i < 400; i++) {
      const socket = connectSocket({ port, host: '127.0.0.1' })
      socket.on('error', () => {})
      socket.on('close', () => closed++)
      socket.resume()
      open.push(socket)
      // Each connection is accepted before the next one is opened.
      await once(socket, 'connect').catch(() => {})
    }
    await eventually('surplus connections are closed', () => closed >= 400 - 140)
    t.ok(descriptorsOf(child) < 256, `${descriptorsOf(child)} descriptors are open`)
    const elsewhere = { localAddress: '127.0.0.2', agent: false }
    const body = '{"type":"U"}'
    const headers = { 'content-type': 'application/json' }
    t.equal(
      (await send(`${url}/streams/s`, { ...elsewhere, method: 'POST', headers }, body)).status,
      201,
      'another address is served'
    )
    await live.untilEvents(2)
    t.equal((await send(`${url}/metrics`, elsewhere)).status, 200)
    for (const socket of open) socket.destroy()
    let status = 429
    while (status === 429) ({ status } = await send(`${url}/streams/s`, { headers: { accept: '*/*' } }))
    t.equal(status, 200, 'the address of the flood is served again')
    t.equal(child.exitCode, null, 'the server is still running')
  }
)

function descriptorsOf({ pid }: ChildProcess): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
