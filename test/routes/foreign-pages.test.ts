/** Pages of other origins: which of them may read answers, and that their credentials are refused. */
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { WebSocket } from 'ws'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { eventually } from '../helpers/live-events.js'
import { admin, basic, bearer } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

const ALLOW = 'access-control-allow-origin'
const EVIL = 'https://evil.example'
const APP = 'https://app.example'
const ATOM = 'application/vnd.eventstore.atom+json'

/** Requests with answers of many kinds. */
const CALLS: [status: number, call: string, headers?: Record<string, string>][] = [
  [200, 'GET /streams/s'],
  [200, 'GET /streams/s?format=ndjson'],
  [200, 'GET /streams/s', { accept: ATOM }],
  [200, 'GET /streams/s/0', { accept: ATOM }],
  [200, 'GET /events'],
  [200, 'GET /info'],
  [200, 'OPTIONS /events'],
  [404, 'GET /streams/none'],
  [404, 'GET /streams/none', { accept: ATOM }],
  [404, 'GET /nowhere', { accept: 'text/plain' }],
  [401, 'GET /users'],
  [307, 'GET /streams/s/']
]

t.test('on loopback, only pages served from this machine may read', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins: 'local' })
  await append(app, 's', { type: 'T' })
  const origins: [origin: string | undefined, allowed: string | undefined][] = [
    [undefined, '*'],
    ['http://localhost', '*'],
    ['http://localhost:3000', '*'],
    ['https://shop.localhost:8443', '*'],
    ['http://127.0.0.1:5173', '*'],
    ['http://127.8.9.1', '*'],
    ['http://[::1]:3000', '*'],
    [EVIL, undefined],
    ['null', undefined],
    ['http://localhost.evil.example', undefined],
    ['http://evil-localhost', undefined],
    ['http://127.0.0.1.evil.example', undefined],
    ['http://192.168.0.7:3000', undefined],
    ['http://localhost:3000.evil.example', undefined],
    ['file://localhost', undefined]
  ]
  for (const [origin, allowed] of origins) {
    for (const [status, call, headers] of CALLS) {
      // A request for an image has no Origin header; its browser sends Sec-Fetch-Site instead.
      const originHeaders: Record<string, string> =
        origin === undefined ? { 'sec-fetch-site': 'cross-site' } : { origin }
      const answer = await ask(app, call, { ...headers, ...originHeaders })
      t.equal(answer.statusCode, status, `${call} of ${origin}`)
      t.equal(answer.headers[ALLOW], allowed, `${call} of ${origin}`)
      t.notOk('access-control-allow-credentials' in answer.headers, `${call} of ${origin}: credentials are not allowed`)
      t.match(answer.headers.vary, /\borigin\b/i, `${call} of ${origin}: caches know that the answer varies by origin`)
    }
  }
})

t.test('credentials from another origin are refused without being verified', async (t) => {
  for (const corsOrigins of ['local', ['*'], [APP]] as const) {
    await t.test(`--cors-origin ${corsOrigins}`, async (t) => {
      const { app, store } = await openApp(t, { insecure: false, anonymous: true, corsOrigins })
      await append(app, 's', { type: 'T' })
      const { verify } = store.accounts
      let verifyCalls = 0
      store.accounts.verify = (...args) => {
        verifyCalls++
        return verify.apply(store.accounts, args)
      }
      for (const who of [admin, basic('admin', 'guess'), bearer('dbk_x.y'), { authorization: 'Basic ???' }]) {
        for (const origin of [EVIL, 'null', 'http://localhost.evil.example']) {
          for (const call of ['GET /events', 'GET /users', 'GET /nowhere', 'GET /ping', 'GET /streams/s/0']) {
            const answer = await ask(app, call, { ...who, origin })
            t.match(answer.json(), { status: 403, code: 'origin-refused' }, `${call} of ${origin}`)
          }
        }
      }
      t.equal(verifyCalls, 0, 'no password is verified')
      const metrics = await store.metrics.text(true)
      t.notMatch(metrics, /daybook_sign_in_failures_total\{[^}]*\} [1-9]/, 'no sign-in failure is counted')
      await store.failures.flush()
      const { events } = (await ask(app, 'GET /events?system=true&type=SignInFailed', admin)).json()
      t.same(events, [], 'no sign-in failure is recorded')
      t.equal((await ask(app, 'GET /users', admin)).statusCode, 200, 'a request without an origin signs in')
      t.equal((await ask(app, 'GET /users', { ...admin, origin: 'http://localhost:80', host: 'localhost' })).statusCode, 200, 'the server’s own page signs in') // biome-ignore format: one request
    })
  }
})

const DEV = 'http://localhost:5173'
/** What a page can do without an account. */
const ACTIONS: [call: string, body?: unknown][] = [
  ['POST /streams/s', { type: 'T' }],
  ['POST /events', { events: [{ stream: 'b', type: 'T' }] }],
  ['PUT /streams/s/metadata', { maxCount: 100 }],
  ['PUT /consumers/c', { source: '/streams/s' }],
  ['GET /consumers/c/events'],
  ['POST /consumers/c/ack', { cursor: '0', generation: 0 }],
  ['DELETE /streams/b']
]
const UPGRADE = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
}

t.test('on loopback, pages served from this machine may read, follow and write without credentials', async (t) => {
  const base = t.testdir({ local: {}, '*': {} })
  for (const corsOrigins of ['local', ['*']] as const) {
    const { app, store, url } = await listen(t, {
      insecure: false,
      anonymous: true,
      corsOrigins,
      hosts: [],
      directory: `${base}/${corsOrigins}`
    })
    await append(app, 's', { type: 'T' })
    await ask(app, 'PUT /consumers/c', {}, { source: '/streams/s' })
    for (const origin of [DEV, 'http://127.0.0.1:8080', 'https://[::1]:3000', 'http://shop.localhost']) {
      for (const [call, body] of ACTIONS) {
        const answer = await ask(app, call, { origin }, body)
        t.ok(answer.statusCode < 300, `${call} of ${origin}: ${answer.body.slice(0, 200)}`)
        t.equal(answer.headers[ALLOW], '*', `${call} of ${origin}`)
      }
      const socket = new WebSocket(`${url.replace('http', 'ws')}/streams/s`, 'daybook.v1', { origin })
      await once(socket, 'open')
      socket.terminate()
    }
    const { head } = store.log
    for (const origin of [EVIL, 'null', 'http://localhost.evil.example', 'http://192.168.0.7:3000']) {
      for (const [call, body] of ACTIONS) {
        const answer = await ask(app, call, { origin }, body)
        t.match(answer.json(), { status: 403, code: 'origin-refused' }, `${call} of ${origin}`)
      }
      t.equal((await send(`${url}/streams/s`, { headers: { ...UPGRADE, origin } })).status, 403, origin)
    }
    t.equal(store.log.head, head, 'refused pages write nothing')
  }
})

t.test(
  'on loopback, credentials from a page served from this machine are refused: the browser may have added them by itself',
  async (t) => {
    const { app, store, url } = await listen(t, { insecure: false, anonymous: true, corsOrigins: 'local', hosts: [] })
    await append(app, 's', { type: 'T' })
    const { verify } = store.accounts
    store.accounts.verify = () => t.fail('no password is verified') as never
    for (const who of [admin, basic('admin', 'guess'), bearer('dbk_x.y')]) {
      for (const [call, body] of [['GET /streams/s'], ['GET /users'], ...ACTIONS] as typeof ACTIONS) {
        const answer = await ask(app, call, { ...who, origin: DEV }, body)
        t.match(answer.json(), { status: 403, code: 'origin-refused' }, call)
        t.match(
          answer.json().detail,
          /password or token.*--allow-origin http:\/\/localhost:5173/,
          'the error names the flag'
        )
        t.equal(answer.headers[ALLOW], '*', 'the page can read the error')
        t.notOk('access-control-allow-credentials' in answer.headers)
      }
      t.equal((await send(`${url}/streams/s`, { headers: { ...UPGRADE, ...who, origin: DEV } })).status, 403)
    }
    store.accounts.verify = verify
    // Another port is of the same site, and a request for an image has no Origin header.
    const image = { ...admin, 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' }
    await ask(app, 'PUT /consumers/c', {}, { source: '/streams/s' })
    t.equal((await ask(app, 'GET /consumers/c/events', image)).statusCode, 403)
  }
)

t.test('a named origin may sign in, also one of this machine', async (t) => {
  const { app } = await openApp(t, {
    insecure: false,
    anonymous: true,
    corsOrigins: 'local',
    hosts: [],
    allowOrigins: [DEV, APP]
  })
  for (const origin of [DEV, APP]) {
    for (const call of ['GET /users', 'POST /streams/s']) {
      const answer = await ask(app, call, { ...admin, origin }, call.startsWith('POST') ? { type: 'T' } : undefined)
      t.ok(answer.statusCode < 300, call)
      t.match(answer.headers, { [ALLOW]: origin, 'access-control-allow-credentials': 'true', vary: /\borigin\b/i })
    }
  }
  t.equal((await ask(app, 'GET /users', { ...admin, origin: 'http://localhost:4000' })).statusCode, 403)
})

t.test(
  'pages served from this machine count as foreign if others can reach the server, or if readable origins are listed',
  async (t) => {
    const directory = t.testdir({ 0: {}, 1: {} })
    for (const [i, options] of [{ corsOrigins: ['*'] }, { corsOrigins: [APP], hosts: [] }].entries()) {
      const { app } = await openApp(t, { insecure: false, anonymous: true, directory: `${directory}/${i}`, ...options })
      t.equal((await ask(app, 'POST /streams/s', { origin: DEV }, { type: 'T' })).statusCode, 403)
    }
  }
)

t.test(
  'a refused origin is logged once, with the flag that allows it, even if it requests several addresses',
  async (t) => {
    const logTo = new PassThrough()
    let log = ''
    logTo.on('data', (chunk) => (log += chunk))
    const { app, url } = await listen(t, { insecure: false, corsOrigins: 'local', hosts: [], logLevel: 'warn', logTo })
    const preflight = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' }
    const tries: [origin: string, tried: () => Promise<unknown>][] = [
      ['https://read.example', () => ask(app, 'GET /events', { origin: 'https://read.example' })],
      ['https://write.example', () => ask(app, 'POST /streams/s', { origin: 'https://write.example' }, { type: 'T' })],
      ['https://asks.example', () => ask(app, 'OPTIONS /streams/s', { origin: 'https://asks.example', ...preflight })],
      [
        'https://live.example',
        () => send(`${url}/events`, { headers: { ...UPGRADE, origin: 'https://live.example' } })
      ],
      [DEV, () => ask(app, 'GET /users', { ...admin, origin: DEV })]
    ]
    for (const [, tried] of [...tries, ...tries]) await tried()
    for (const [origin] of tries) {
      const lines = log.split('\n').filter((line) => line.includes(origin))
      t.equal(lines.length, 1, `${origin}: ${lines}`)
      t.match(lines[0], `--allow-origin ${origin}`)
    }
    for (const origin of ['http://localhost:3000', 'http://127.0.0.1:3000']) {
      await ask(app, 'GET /events', { origin })
      await ask(app, 'OPTIONS /streams/s', { origin, ...preflight })
      await ask(app, 'POST /streams/s', { origin }, { type: 'T' })
    }
    t.notMatch(log, /3000/, 'allowed origins are not logged')
    for (let i = 0; i < 200; i++) await ask(app, 'GET /events', { origin: `https://${i}.example\n"}` })
    t.ok(log.trim().split('\n').length < 40, 'refused origins do not fill the log')
    for (const line of log.trim().split('\n')) t.ok(JSON.parse(line).msg)
  }
)

t.test('a named origin may read with credentials, and other origins may not read at all', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins: [APP, 'https://two.example'] })
  await append(app, 's', { type: 'T' })
  for (const origin of [APP, 'https://two.example']) {
    const { statusCode, headers } = await ask(app, 'GET /users', { ...admin, origin })
    t.equal(statusCode, 200)
    t.match(headers, { [ALLOW]: origin, 'access-control-allow-credentials': 'true', vary: /\borigin\b/i })
  }
  for (const [status, call, more] of CALLS) {
    const named = await ask(app, call, { ...more, origin: APP })
    t.match(named.headers, { [ALLOW]: APP, vary: /\borigin\b/i }, call)
    const other = await ask(app, call, { ...more, origin: EVIL })
    t.equal(other.statusCode, status, call)
    t.notOk(ALLOW in other.headers, `${call}: others`)
    t.match(other.headers.vary, /\borigin\b/i, call)
  }
})

t.test('with --cors-origin=*, every origin may read what needs no account, and gets the same answer', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins: ['*'] })
  await append(app, 's', { type: 'T' })
  for (const [status, call, headers] of CALLS) {
    for (const origin of [EVIL, APP, 'null']) {
      const answer = await ask(app, call, { ...headers, origin })
      t.equal(answer.statusCode, status, call)
      t.equal(answer.headers[ALLOW], '*', call)
      t.notOk('access-control-allow-credentials' in answer.headers)
    }
  }
})

t.test('an origin that may write may also sign in', async (t) => {
  const { app } = await openApp(t, { insecure: false, corsOrigins: ['*'], allowOrigins: [APP] })
  t.equal((await ask(app, 'POST /streams/s', { ...admin, origin: APP }, { type: 'T' })).statusCode, 201)
  t.equal((await ask(app, 'POST /streams/s', { ...admin, origin: EVIL }, { type: 'T' })).statusCode, 403)
})

t.test('a WebSocket handshake that the first hooks refuse is answered, and its connection ends', async (t) => {
  const { app, connect } = await listenRaw(t, { hosts: [], corsOrigins: 'local', insecure: false })
  await append(app, 's', { type: 'T' }, admin)
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const rows: [what: string, headers: string, answer: RegExp][] = [
    ['another host', 'Host: evil.example\r\n', /^HTTP\/1\.1 421 [\s\S]*"host-refused"/],
    [
      'credentials of another origin',
      `Host: localhost\r\nOrigin: ${EVIL}\r\nAuthorization: ${admin.authorization}\r\n`,
      /^HTTP\/1\.1 403 [\s\S]*"origin-refused"/
    ],
    [
      'a forwarded request',
      'Host: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n',
      /^HTTP\/1\.1 421 [\s\S]*"host-refused"/
    ],
    ['no host at all', '', /^HTTP\/1\.1 400 /]
  ]
  for (const path of ['/streams/s', '/events', '/nowhere']) {
    for (const [what, headers, answer] of rows) {
      const socket = connect()
      socket.write(`GET ${path} HTTP/1.1\r\n${headers}${upgrade}\r\n`)
      let ended = false
      socket.closed.then(() => (ended = true))
      await eventually(`${path}: ${what}: its connection ends`, () => ended).finally(() => socket.destroy())
      t.match(await socket.closed, answer, `${path}: ${what}`)
    }
  }
})

t.test('with --insecure, a WebSocket handshake from another origin is refused', async (t) => {
  const { url } = await listen(t, { corsOrigins: 'local' })
  const headers = { connection: 'Upgrade', upgrade: 'websocket', origin: EVIL }
  const { status, text } = await send(`${url}/events`, {
    headers: { ...headers, 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  })
  t.equal(status, 403)
  t.match(text, /origin-refused/)
})
