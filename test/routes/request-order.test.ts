/** Several requests on one connection, and clients that end their side of it: each request is answered, in order. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append } from '../helpers/app.js'
import { StillClock } from '../helpers/clock.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { admin, makeUser, setRules } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

/** Returns the text of a request. @param headers lines without line ends */
function request(call: string, headers: readonly string[] = [], body = ''): string {
  const length = body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]
  return `${[`${call} HTTP/1.1`, 'Host: localhost', 'Accept: */*', ...headers, ...length].join('\r\n')}\r\n\r\n${body}`
}

const CLOSE = ['Connection: close']

/** Returns the statuses of all answers in the text. */
function statuses(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}

t.test('a GET that is pipelined behind a POST sees the event of the POST', async (t) => {
  const { connect } = await listenRaw(t)
  const socket = connect()
  socket.write(request('POST /streams/s', [], '{"type":"A"}') + request('GET /streams/s', CLOSE))
  const text = await socket.closed
  t.same(statuses(text), [201, 200])
  t.match(text, /"type":"A","stream":"s","number":0/)
})

t.test('pipelined POSTs are written in order, also when the first must wait for its password check', async (t) => {
  const { app, store, connect } = await listenRaw(t, { insecure: false, anonymous: true })
  const ann = await makeUser(store, 'ann')
  await setRules(app, 's', { write: '$all', read: '$all' })
  const socket = connect()
  const signed = [`Authorization: ${ann.authorization}`]
  socket.write(
    request('POST /streams/s', signed, '{"type":"First"}') + request('POST /streams/s', CLOSE, '{"type":"Second"}')
  )
  t.same(statuses(await socket.closed), [201, 201])
  const { events } = (await app.inject({ url: '/streams/s', headers: admin })).json()
  t.match(events, [{ type: 'First' }, { type: 'Second' }])
})

t.test('every kind of request waits for its turn, also one that is refused', async (t) => {
  const { connect } = await listenRaw(t)
  const socket = connect()
  socket.write(
    [
      request('GET /streams/s?wait=60'),
      request('POST /nowhere', [], '{}'),
      request('POST /streams/other', ['Expect: 100-continue'], '{"type":"B"}'),
      request('GET /streams/other'),
      request('POST /streams/other', ['Expect: tea'], '{"type":"B"}'),
      request('GET /ping', CLOSE)
    ].join('')
  )
  const other = connect()
  other.write(request('POST /streams/s', CLOSE, '{"type":"A"}'))
  t.same(statuses(await other.closed), [201])
  const text = await socket.closed
  t.same(statuses(text), [200, 404, 100, 201, 200, 417, 200])
  t.match(text, /"type":"A"/)
})

t.test('a pipelined request is not handled if its client has gone', async (t) => {
  const { app, store, connect } = await listenRaw(t)
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = connect()
  const [peer] = await accepted
  let requests = 0
  app.server.on('request', () => requests++)
  socket.write(request('GET /streams/s?wait=60') + request('POST /streams/s', [], '{"type":"A"}'))
  await eventually('both requests have come', () => peer.bytesRead > 100 && requests === 2)
  peer.destroy()
  await socket.closed
  t.equal((await app.inject('/ping')).statusCode, 200)
  t.equal(store.log.head, -1)
})

t.test('invalid input is answered after the requests before it, which keep their answers', async (t) => {
  const { store, connect } = await listenRaw(t)
  for (const [what, rest, expected] of [
    ['nonsense', 'nonsense\r\n\r\n', [201, 400]],
    ['an unknown method', 'BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n', [201, 501]],
    ['two lengths', 'POST /s HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', [201, 400]],
    ['a malformed chunked body', `${request('POST /streams/s', ['Transfer-Encoding: chunked'])}nonsense`, [201, 400]]
  ] satisfies [string, string, number[]][]) {
    const before = store.log.head
    const socket = connect()
    socket.write(request('POST /streams/s', [], '{"type":"A"}') + rest)
    const text = await socket.closed
    t.same(statuses(text), expected, what)
    t.match(text, /"code":"(bad-request|not-implemented)"[^}]*}$/, what)
    t.equal(store.log.head, before + 1, what)
  }
})

t.test('bytes after the last request of a connection do not prevent its answer', async (t) => {
  const { connect } = await listenRaw(t)
  const socket = connect()
  socket.write(`${request('POST /streams/s', CLOSE, '{"type":"A"}')}and more`)
  t.same(statuses(await socket.closed), [201])
})

t.test(
  'a WebSocket can be opened on a connection that has answered requests, but not behind one that waits',
  async (t) => {
    const { connect, url, app } = await listenRaw(t)
    await append(app, 's', { type: 'A' })
    const upgrade = request('GET /streams/s', [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='
    ])
    const kept = connect()
    kept.write(request('GET /ping'))
    await kept.until(/200 OK[\s\S]*}/)
    kept.write(upgrade)
    await kept.until(/101 Switching Protocols[\s\S]*subscribed/)
    kept.destroy()

    const behind = connect()
    behind.write(request('GET /streams/other?wait=60') + upgrade + request('GET /ping'))
    await append(app, 'other', { type: 'B' })
    const text = await behind.closed
    t.match(text, /"B"[\s\S]*"upgrade-lost"[\s\S]*before earlier requests/)
    t.same(statuses(text), [200, 426], 'requests behind it must be sent again')
    const live = await LiveSocket.open(t, `${url}/streams/s?from=0`)
    await live.untilEvents(1)
  }
)

t.test('a client that pipelines too many requests is paused, and answered in the end', async (t) => {
  const { app, connect, raw } = await listenRaw(t)
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = connect()
  const [peer] = await accepted
  const many = 20_000
  let requests = 0
  app.server.on('request', ({ socket }) => {
    if (socket === peer) requests++
  })
  socket.write(request('GET /streams/s?wait=60') + request('GET /livez').repeat(many))
  await eventually('the client is paused', () => requests > limits.pipelined_requests_max && peer.isPaused())
  const [read, held] = [peer.bytesRead, requests]
  t.equal((await raw(request('POST /streams/s', CLOSE, '{"type":"A"}'))).status, 201, 'other clients are served')
  t.ok(read < 256 * 1024, `${read} bytes were read`)
  t.ok(held < 4_000, `${held} requests are held`)
  socket.write(request('GET /ping', CLOSE))
  const text = await socket.closed
  t.equal(statuses(text).filter((status) => status === 200).length, many + 2)
  t.match(text, /"type":"A"/)
})

t.test(
  'waiting requests are limited over all connections; beyond that a connection that has some is closed',
  async (t) => {
    const { app, connect, raw } = await listenRaw(t)
    const sockets = Array.from({ length: 8 }, () => connect())
    let closed = 0
    for (const socket of sockets) {
      socket.closed.then(() => closed++)
      socket.write(request('GET /streams/s?wait=60') + 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2_000))
    }
    await eventually('some connections are closed', () => closed > 0)
    t.ok(closed < 8, 'not all are closed')
    t.equal((await raw(request('GET /ping', CLOSE))).status, 200, 'other clients are served')
    for (const socket of sockets) socket.destroy()
    await append(app, 's', { type: 'A' })
    while ((await connections(app.server)) > 0) await setImmediate()
    const again = connect()
    again.write(request('GET /ping').repeat(100) + request('GET /ping', CLOSE))
    t.equal(statuses(await again.closed).length, 101, 'the closed connections no longer count')
  }
)

t.test(
  'a connection that is paused is closed after the request time-out, even if its client has gone unnoticed',
  async (t) => {
    const clock = new StillClock()
    const { app, connect } = await listenRaw(t, { clock })
    const accepted = once(app.server, 'connection') as Promise<[Socket]>
    const socket = connect()
    socket.write(request('GET /events').replace('*/*', 'text/event-stream') + request('GET /ping').repeat(5_000))
    const [peer] = await accepted
    await socket.until(/caughtUp/)
    await eventually('the connection is paused', () => peer.isPaused())
    socket.destroy()
    clock.move(limits.request_timeout_ms - 1)
    t.notOk(peer.destroyed, 'not before the time-out')
    await eventually('the connection is closed', () => {
      clock.move(1)
      return peer.destroyed
    })
  }
)

t.test('a body behind a waiting request has the same time-out as any other', async (t) => {
  const clock = new StillClock()
  const { app, connect } = await listenRaw(t, { clock })
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = connect()
  const poll = request('GET /streams/s', ['ES-LongPoll: 3600']).replace('*/*', 'application/vnd.eventstore.atom+json')
  const upload = request('POST /streams/t', ['Content-Type: application/json', 'Content-Length: 9000000'])
  socket.write(poll + upload + 'x'.repeat(8_000_000))
  const [peer] = await accepted
  await eventually('the body has begun to come', () => peer.bytesRead > poll.length + upload.length)
  socket.destroy()
  clock.move(limits.request_timeout_ms - 1)
  t.notOk(peer.destroyed, 'not before the time-out')
  await eventually('the connection is closed', () => {
    clock.move(1)
    return peer.destroyed
  })
})

function connections(server: { getConnections(done: (error: Error | null, count: number) => void): unknown }) {
  return new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)))
}

t.test('a client that half-closes its connection after a request receives the response', async (t) => {
  const { app, connect } = await listenRaw(t)
  await append(app, 's', { type: 'A' })
  for (const [call, body, expected] of [
    ['POST /streams/s', '{"type":"H"}', /^HTTP\/1\.1 201 /],
    ['GET /streams/s', '', /^HTTP\/1\.1 200 [\s\S]*"links"/],
    ['GET /streams/s?format=ndjson', '', /^HTTP\/1\.1 200 [\s\S]*\r\n0\r\n\r\n$/],
    ['GET /streams/new?wait=1', '', /^HTTP\/1\.1 200 [\s\S]*"events":\[\]/],
    ['GET /events?atLeast=999&wait=1', '', /^HTTP\/1\.1 409 [\s\S]*"not-there-yet"/],
    ['GET /nowhere', '', /^HTTP\/1\.1 404 /]
  ] satisfies [string, string, RegExp][]) {
    const socket = connect()
    socket.write(request(call, [], body))
    socket.end()
    t.match(await socket.closed, expected, call)
  }
  const several = connect()
  several.write(request('POST /streams/t', [], '{"type":"A"}') + request('GET /streams/t') + request('GET /ping'))
  several.end()
  t.same(statuses(await several.closed), [201, 200, 200], 'all of its requests')
  const half = connect()
  half.write(request('POST /streams/t', [], '{"type":"A"}').slice(0, -2))
  half.end()
  t.match(await half.closed, /^HTTP\/1\.1 400 [\s\S]*"bad-request"/, 'an incomplete request')
  while ((await connections(app.server)) > 0) await setImmediate()
})

t.test('a half-closed client waits for half_closed_ms at most, and then receives the response', async (t) => {
  const clock = new StillClock()
  const after = clock.after.bind(clock)
  let waits = false
  clock.after = (ms, callback) => {
    waits ||= ms === 60_000
    return after(ms, callback)
  }
  const { app, connect } = await listenRaw(t, { clock })
  const accepted = once(app.server, 'connection') as Promise<[Socket]>
  const socket = connect()
  socket.write(request('GET /streams/s?wait=60'))
  const [peer] = await accepted
  await eventually('the poll waits', () => waits)
  socket.end()
  await eventually('the end of its side has come', () => peer.readableEnded)
  clock.move(limits.half_closed_ms - 1)
  t.equal(peer.bytesWritten, 0)
  clock.move(1)
  t.match(await socket.closed, /^HTTP\/1\.1 200 [\s\S]*"events":\[\]/)
})

t.test('a live reader that half-closes its connection is disconnected, and its consumer is free', async (t) => {
  const { app, store, connect } = await listenRaw(t)
  await append(app, 's', { type: 'A' })
  await app.inject({ method: 'PUT', url: '/consumers/c', payload: { source: '/streams/s' } })
  for (const accept of ['text/event-stream', 'application/x-ndjson']) {
    const socket = connect()
    socket.write(request('GET /consumers/c/events?live=true', []).replace('*/*', accept))
    await socket.until(/"type":"A"/)
    t.equal(store.subscriptions.size, 1)
    socket.end()
    await socket.closed
    await eventually('the subscription is gone', () => store.subscriptions.size === 0)
  }
  while ((await connections(app.server)) > 0) await setImmediate()
})
