import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import type { AppOptions } from '../../routes/index.js'
import { append, listen, type TestApp } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { type Frame, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { noProblem } from '../helpers/promises.js'

interface Watched extends TestApp {
  url: string
  /** Subtest: another subscriber has received every event once and nothing else, and is still connected. */
  checkOtherSubscriber(): Promise<unknown>
}

/** Opens a server with three events, and a subscriber that follows them while other clients misbehave. */
async function listenWatched(t: Test, options: AppOptions = {}): Promise<Watched> {
  const opened = await listen(t, options)
  await append(opened.app, 's', [{ type: 'T' }, { type: 'T' }, { type: 'T' }])
  const other = await LiveSocket.open(t, `${opened.url}/events`)
  await other.untilFrame('caughtUp')
  const checkOtherSubscriber = () =>
    t.test('another subscriber is not affected', async (t) => {
      const { store, app } = opened
      await append(app, 's', { type: 'T' })
      await other.untilCursor(store.log.head)
      t.same(other.events, (await app.inject('/events?truncated=true')).json().events)
      // Events of system streams are left out; a checkpoint may report that.
      t.same(
        other.others.filter((frame) => frame !== 'checkpoint'),
        ['subscribed', 'caughtUp']
      )
      t.equal(other.socket.readyState, WebSocket.OPEN)
      t.equal(store.subscriptions.size, 1, 'no other subscription is left')
    })
  return { ...opened, checkOtherSubscriber }
}

const HANDSHAKE: Record<string, string | undefined> = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA=='
}

interface HandshakeResult {
  status: number
  code: string | undefined
  problem: Record<string, unknown>
  /** What is wrong with the answer as a problem document; undefined if nothing is. */
  wrong: string | undefined
}

/** Sends a WebSocket handshake without a client library. An undefined header is left out. Status 101: accepted. */
function handshake(t: Test, url: string, headers: Record<string, string | undefined> = {}): Promise<HandshakeResult> {
  const all = Object.entries({ ...HANDSHAKE, ...headers }).filter(([, value]) => value !== undefined)
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent: false, headers: Object.fromEntries(all) as Record<string, string> })
    t.teardown(() => sent.destroy())
    sent.on('error', reject)
    sent.on('upgrade', (_response, socket) => {
      socket.destroy()
      resolve({ status: 101, code: undefined, problem: {}, wrong: undefined })
    })
    sent.on('response', (response) => {
      let body = ''
      response.on('data', (chunk) => (body += chunk))
      response.on('error', () => {}) // the check of the body reports an incomplete one
      response.on('close', () => {
        const status = response.statusCode as number
        const wrong = noProblem(status, String(response.headers['content-type'] ?? ''), body)
        const problem = wrong === undefined ? JSON.parse(body) : {}
        resolve({ status, code: problem.code, problem, wrong })
      })
    })
    sent.end()
  })
}

t.test('a live read that cannot be served is refused before the upgrade, with a code', async (t) => {
  const { app, store, url, checkOtherSubscriber } = await listenWatched(t)
  await append(app, 'gone', { type: 'T' })
  await app.inject({ method: 'DELETE', url: '/streams/gone?permanent=true' })
  const cases: [string, number, string][] = [
    ['/streams/s?after=many', 400, 'bad-cursor'],
    ['/streams/s?after=1.5', 400, 'bad-cursor'],
    ['/streams/s?from=2026-99-99', 400, 'bad-instant'],
    ['/streams/s?from=1&after=1', 400, 'bad-parameter'],
    ['/streams/s?after=3', 409, 'cursor-beyond-head'],
    ['/streams/none?after=0', 409, 'cursor-beyond-head'],
    ['/streams/$et-None?from=1', 409, 'cursor-beyond-head'],
    ['/events?after=1000', 409, 'cursor-beyond-head'],
    ['/events?tpye=T', 400, 'unknown-parameter'],
    ['/streams/s?category=c', 400, 'unknown-parameter'],
    ['/events?type.regex=(', 400, 'bad-expression'],
    ['/events?type.regex=(?=a)', 400, 'bad-expression'],
    ['/events?where=a', 501, 'not-implemented'],
    ['/events?order=desc', 400, 'bad-parameter'],
    ['/events?credit=-1', 400, 'bad-parameter'],
    ['/events?credit=1e99', 400, 'bad-parameter'],
    ['/events?batch=0', 400, 'bad-parameter'],
    ['/events?heartbeat=-1', 400, 'bad-parameter'],
    ['/events?statistics=0', 400, 'bad-parameter'],
    ['/events?checkpointEvery=0', 400, 'bad-parameter'],
    ['/events?limit=0', 400, 'bad-parameter'],
    ['/events?occurred.from=noon', 400, 'bad-instant'],
    ['/events?takeover=true', 400, 'bad-parameter'],
    ['/events?consumer=none', 404, 'consumer-not-found'],
    ['/consumers/none/events', 404, 'consumer-not-found'],
    ['/events?atLeast=1000', 409, 'not-there-yet'],
    ['/streams/gone', 410, 'stream-deleted'],
    ['/streams/a%00b', 400, 'bad-stream-name'],
    ['/streams', 400, 'bad-request'],
    ['/streams/s/0', 400, 'bad-request'],
    ['/events/0', 400, 'bad-request'],
    ['/info', 400, 'bad-request'],
    ['/ping', 400, 'bad-request'],
    ['/consumers', 400, 'bad-request'],
    ['/streams/s/metadata', 400, 'bad-request'],
    ['/nowhere', 404, 'not-found'],
    ['/nowhere/at/all', 404, 'not-found']
  ]
  for (const [path, status, code] of cases) {
    const answer = await handshake(t, url + path, { accept: '*/*' })
    t.match({ ...answer, path }, { path, status, code, wrong: undefined })
  }
  t.match((await handshake(t, `${url}/streams/s?after=7`)).problem, { cursor: '7', head: 2, log: store.log.id })
  t.match(await handshake(t, `${url}/streams/s?after=x`), { code: 'bad-cursor' }, 'also without an Accept header')
  await checkOtherSubscriber()
})

t.test('an invalid handshake is refused with a code', async (t) => {
  const { url, checkOtherSubscriber } = await listenWatched(t)
  const cases: [Record<string, string | undefined>, number][] = [
    [{}, 101],
    [{ upgrade: 'WebSocket' }, 101],
    [{ 'sec-websocket-protocol': 'daybook.v1' }, 101],
    [{ 'sec-websocket-protocol': 'daybook.v2, daybook.v1' }, 101],
    [{ 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' }, 101],
    [{ 'sec-websocket-extensions': ';;=' }, 101],
    [{ 'sec-websocket-protocol': 'daybook.v2' }, 400],
    [{ 'sec-websocket-protocol': 'Daybook.V1' }, 400],
    [{ 'sec-websocket-protocol': '' }, 400],
    [{ 'sec-websocket-protocol': ',' }, 400],
    [{ 'sec-websocket-protocol': 'daybook.v1, daybook.v1' }, 400],
    [{ 'sec-websocket-protocol': 'daybook.v1,' }, 400],
    [{ 'sec-websocket-protocol': 'daybook.v1, a b' }, 400],
    [{ 'sec-websocket-key': undefined }, 400],
    [{ 'sec-websocket-key': '' }, 400],
    [{ 'sec-websocket-key': 'short' }, 400],
    [{ 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAAAA' }, 400],
    [{ 'sec-websocket-version': undefined }, 400],
    [{ 'sec-websocket-version': '8' }, 400],
    [{ 'sec-websocket-version': '13, 8' }, 400],
    [{ 'sec-websocket-version': 'x' }, 400]
  ]
  for (const [headers, status] of cases) {
    const answer = await handshake(t, `${url}/events`, headers)
    const code = status === 400 ? 'bad-header' : undefined
    t.match({ headers, ...answer }, { headers, status, code, wrong: undefined })
  }
  await checkOtherSubscriber()
})

t.test('a handshake with an invalid address is refused, and its connection ends', async (t) => {
  const { app, url, checkOtherSubscriber } = await listenWatched(t)
  const left = new Set<Socket>()
  app.server.on('connection', (socket) => {
    left.add(socket)
    socket.on('close', () => left.delete(socket))
  })
  // A server stop would wait for open connections for ever.
  t.teardown(() => {
    for (const socket of left) socket.destroy()
  })
  for (const path of ['/streams/%ff', '/streams/a%2', '/events%', `/streams/${'x'.repeat(13_000)}`]) {
    const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}`)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => (text += chunk))
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`)
    await eventually('an answer', () => text.includes('\r\n\r\n{'))
    t.match(text, /^HTTP\/1\.1 4(00|14) [\s\S]*"code":"(bad-request|uri-too-long)"/, path.slice(0, 20))
    socket.destroy()
  }
  await eventually('no connection is left', () => left.size === 0)
  await checkOtherSubscriber()
})

t.test('pages of other origins cannot subscribe unless they are allowed', async (t) => {
  const allowed = 'https://shop.example'
  const { url, checkOtherSubscriber } = await listenWatched(t, { allowOrigins: [allowed] })
  const own = new URL(url).origin
  for (const origin of [
    'https://evil.example',
    'null',
    `${own}0`,
    'http://localhost:1',
    'nonsense',
    `${allowed}.evil`
  ]) {
    const answer = await handshake(t, `${url}/events`, { origin })
    t.match({ origin, ...answer }, { origin, status: 403, code: 'origin-refused', wrong: undefined })
  }
  const unnamed = await handshake(t, `${url}/events`, { 'sec-fetch-site': 'cross-site' })
  t.match(unnamed, { status: 403, code: 'origin-refused' })
  for (const origin of [own, allowed, undefined]) t.equal((await handshake(t, `${url}/events`, { origin })).status, 101)
  await checkOtherSubscriber()
})

t.test('an offer to upgrade to another protocol is ignored', async (t) => {
  const { app, url, checkOtherSubscriber } = await listenWatched(t)
  const settings = {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQAoAAAAAIAAAAA'
  }
  const got = await send(`${url}/streams/s`, { headers: settings })
  t.equal(got.status, 200)
  t.equal(JSON.parse(got.text).events.length, 3)
  const body = JSON.stringify({ type: 'Posted', data: 'x'.repeat(100_000) })
  for (const upgrade of ['h2c', 'websocket', 'TLS/1.0, HTTP/1.1']) {
    const headers = { ...settings, upgrade, 'content-type': 'application/json', 'content-length': body.length }
    const posted = await send(`${url}/streams/posted`, { method: 'POST', headers }, body)
    t.equal(posted.status, 201, `POST with ${upgrade}`)
  }
  t.equal((await app.inject('/streams/posted')).json().events.length, 3, 'every body was read to its end')
  const kept = await send(`${url}/ping`, { headers: { connection: 'keep-alive', upgrade: 'websocket' } })
  t.equal(kept.status, 200, 'an Upgrade header that Connection does not name')
  await checkOtherSubscriber()
})

t.test('HEAD of a live read ends', async (t) => {
  const { url, checkOtherSubscriber } = await listenWatched(t)
  const live: [string, Record<string, string>, RegExp][] = [
    ['/events?format=sse', {}, /^text\/event-stream/],
    ['/streams/s', { accept: 'text/event-stream' }, /^text\/event-stream/],
    ['/streams/s?live=true', {}, /^application\/x-ndjson/],
    ['/streams/none?format=ndjson&live=true', {}, /^application\/x-ndjson/]
  ]
  for (const [path, headers, type] of live) {
    const { status, headers: got, text } = await send(url + path, { method: 'HEAD', headers })
    t.match({ path, status, text, type: got['content-type'] }, { path, status: 200, text: '', type })
  }
  const upgrade = { ...HANDSHAKE } as Record<string, string>
  t.equal(
    (await send(`${url}/events`, { method: 'HEAD', headers: upgrade })).status,
    200,
    'with an Upgrade header, too'
  )
  await checkOtherSubscriber()
})

t.test('a frame that is too large closes its connection with 1009', async (t) => {
  const { url, checkOtherSubscriber } = await listenWatched(t)
  const socket = await LiveSocket.open(t, `${url}/events`)
  socket.socket.send('x'.repeat(16 * 1024 + 1))
  t.equal((await socket.closed).code, 1009)
  const fits = await LiveSocket.open(t, `${url}/events`)
  fits.socket.send('x'.repeat(16 * 1024))
  await fits.untilFrame('error')
  await fits.close()
  const fragmented = await LiveSocket.open(t, `${url}/events`)
  for (let i = 0; i < 20; i++) fragmented.socket.send('x'.repeat(1024), { fin: false })
  t.equal((await fragmented.closed).code, 1009, 'also in fragments')
  await checkOtherSubscriber()
})

t.test('bytes that are not a valid frame close their connection', async (t) => {
  const { url, checkOtherSubscriber } = await listenWatched(t)
  const { hostname, port } = new URL(url)
  const pieces: [string, Buffer][] = [
    ['not masked', Buffer.from([0x81, 0x02, 0x7b, 0x7d])],
    ['a reserved bit', Buffer.from([0xc1, 0x80, 0, 0, 0, 0])],
    ['an unknown opcode', Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ['a control frame in pieces', Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ['not UTF-8', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff])],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['a close frame with half a code', Buffer.from([0x88, 0x81, 0, 0, 0, 0, 3])]
  ]
  for (const [what, bytes] of pieces) {
    const socket = connect(Number(port), hostname)
    t.teardown(() => socket.destroy())
    const lines = Object.entries(HANDSHAKE).map(([name, value]) => `${name}: ${value}`)
    socket.write(`GET /events HTTP/1.1\r\nHost: x\r\n${lines.join('\r\n')}\r\n\r\n`)
    const chunks: Buffer[] = []
    await new Promise<void>((resolve, reject) => {
      socket.on('data', (chunk) => {
        if (chunks.push(chunk) === 1) socket.write(bytes)
        // A compliant peer ends its side after a close frame.
        if (Buffer.concat(chunks).includes(Buffer.from([0x88, 0x02, 0x03]))) socket.end()
      })
      socket.on('close', () => resolve())
      socket.on('error', reject)
    })
    const all = Buffer.concat(chunks)
    t.match(all.toString('latin1'), /^HTTP\/1\.1 101 /, what)
    t.ok(all.includes(Buffer.from([0x88, 0x02, 0x03])), `${what}: closed with a code`)
  }
  await checkOtherSubscriber()
})

t.test('an invalid frame is answered with an error, and the connection stays open', async (t) => {
  const { app, store, url, checkOtherSubscriber } = await listenWatched(t)
  const socket = await LiveSocket.open(t, `${url}/events?credit=4`)
  await socket.untilFrame('caughtUp')
  const cases: [string | Buffer, string][] = [
    [Buffer.from('{"frame":"credit","events":5}'), 'bad-frame'],
    [Buffer.alloc(0), 'bad-frame'],
    ['', 'malformed-json'],
    ['nonsense', 'malformed-json'],
    ['{"frame":"credit","events":5', 'malformed-json'],
    ['\u0000', 'malformed-json'],
    ['null', 'bad-frame'],
    ['5', 'bad-frame'],
    ['[]', 'bad-frame'],
    ['{}', 'bad-frame'],
    ['{"frame":"append","events":[]}', 'bad-frame'],
    ['{"frame":["credit"],"events":5}', 'bad-frame'],
    ['{"frame":"__proto__"}', 'bad-frame'],
    [`{"frame":"${'x'.repeat(10_000)}"}`, 'bad-frame'],
    ['{"frame":"credit"}', 'bad-frame'],
    ['{"frame":"credit","events":0}', 'bad-frame'],
    ['{"frame":"credit","events":-1}', 'bad-frame'],
    ['{"frame":"credit","events":1.5}', 'bad-frame'],
    ['{"frame":"credit","events":"5"}', 'bad-frame'],
    ['{"frame":"credit","events":1e300}', 'bad-frame'],
    ['{"frame":"credit","events":5,"more":1}', 'bad-frame'],
    ['{"frame":"ack","cursor":"0"}', 'bad-frame'],
    ['{"frame":"ack","cursor":0}', 'bad-frame'],
    ['{"frame":"ack"}', 'bad-frame']
  ]
  for (const [text, code] of cases) {
    const before = socket.all.length
    socket.socket.send(text)
    await socket.until('an answer', (all) => all.length > before)
    const { frame, code: met, title, detail } = socket.all.at(-1) as Frame
    t.match({ text: String(text), frame, met }, { text: String(text), frame: 'error', met: code })
    t.ok(typeof title === 'string' && String(detail).length > 10 && String(detail).length < 300)
  }
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  await socket.untilCursor(3)
  await socket.fence()
  t.same(socket.cursors, [0, 1, 2, 3], 'no credit was granted')
  socket.send({ frame: 'credit', events: 1 })
  await socket.untilCursor(store.log.head)
  await socket.close()
  await checkOtherSubscriber()
})

t.test('an acknowledgement of an event that was not sent is refused', async (t) => {
  const { app, store, url, checkOtherSubscriber } = await listenWatched(t)
  const made = await app.inject({ method: 'PUT', url: '/consumers/reader', payload: { source: '/streams/s' } })
  t.equal(made.statusCode, 201)
  const socket = await LiveSocket.open(t, `${url}/streams/s?consumer=reader&credit=2`)
  await socket.untilEvents(2)
  const answered = async (cursor: string) => {
    const before = socket.all.length
    socket.send({ frame: 'ack', cursor })
    await socket.until('an answer', (all) => all.length > before)
    const { frame, code, cursor: acked } = socket.all.at(-1) as Frame
    return { frame, code, cursor: acked }
  }
  const place = () => store.consumers.get('reader').cursor
  for (const cursor of ['2', '3', '999999', '9007199254740991']) {
    t.match(await answered(cursor), { frame: 'error', code: 'not-sent' }, `refused: ${cursor}`)
    t.equal(place(), -1, 'the cursor does not move')
  }
  for (const cursor of ['', 'x', '1.5', '-2', '9007199254740993', 'start']) {
    t.match(await answered(cursor), { frame: 'error', code: 'bad-cursor' }, `refused: "${cursor}"`)
  }
  t.match(await answered('1'), { frame: 'acked', cursor: '1' }, 'an event that was sent is acknowledged')
  t.equal(place(), 1)
  t.match(await answered('2'), { frame: 'error', code: 'not-sent' })
  t.match(await answered('0'), { frame: 'acked' }, 'an older acknowledgement is confirmed')
  t.equal(place(), 1)
  socket.send({ frame: 'credit', events: 1 })
  await socket.untilEvents(3)
  t.match(await answered('2'), { frame: 'acked', cursor: '2' })
  await socket.close()
  await checkOtherSubscriber()
})
