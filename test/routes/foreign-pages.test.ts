/** Pages of other origins: which may read what is answered, and that none signs anybody in. */
import t from 'tap'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { eventually } from '../helpers/live-events.js'
import { admin, basic, bearer } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

const ALLOW = 'access-control-allow-origin'
const EVIL = 'https://evil.example'
const APP = 'https://app.example'
const ATOM = 'application/vnd.eventstore.atom+json'

/** Answers of many kinds. */
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

t.test('on loopback pages of this machine read, and no others', async (t) => {
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
      const answer = await ask(app, call, { ...headers, ...(origin !== undefined && { origin }) })
      t.equal(answer.statusCode, status, `${call} of ${origin}`)
      t.equal(answer.headers[ALLOW], allowed, `${call} of ${origin}`)
      t.notOk('access-control-allow-credentials' in answer.headers, `${call} of ${origin}: none may sign in`)
      if (origin !== undefined)
        t.match(answer.headers.vary, /\borigin\b/i, `${call}: caches know that it depends on who asks`)
    }
  }
})

t.test('a page of another origin signs nobody in, and its guesses are not looked at', async (t) => {
  for (const corsOrigins of ['local', ['*'], [APP]] as const) {
    await t.test(`--cors-origin ${corsOrigins}`, async (t) => {
      const { app, store } = await openApp(t, { insecure: false, anonymous: true, corsOrigins })
      await append(app, 's', { type: 'T' })
      const { verify } = store.accounts
      let looked = 0
      store.accounts.verify = (...words) => {
        looked++
        return verify.apply(store.accounts, words)
      }
      for (const who of [admin, basic('admin', 'guess'), bearer('dbk_x.y'), { authorization: 'Basic ???' }]) {
        for (const origin of [EVIL, 'null', 'http://localhost.evil.example']) {
          for (const call of ['GET /events', 'GET /users', 'GET /nowhere', 'GET /ping', 'GET /streams/s/0']) {
            const answer = await ask(app, call, { ...who, origin })
            t.match(answer.json(), { status: 403, code: 'origin-refused' }, `${call} of ${origin}`)
          }
        }
      }
      t.equal(looked, 0, 'no password is looked at')
      const metrics = await store.metrics.text(true)
      t.notMatch(metrics, /daybook_sign_in_failures_total\{[^}]*\} [1-9]/, 'none is counted')
      await store.failures.tell()
      const { events } = (await ask(app, 'GET /events?system=true&type=SignInFailed', admin)).json()
      t.same(events, [], 'none is told')
      t.equal((await ask(app, 'GET /users', admin)).statusCode, 200, 'who is no page signs in')
      t.equal((await ask(app, 'GET /users', { ...admin, origin: 'http://localhost:80', host: 'localhost' })).statusCode, 200, 'and the own page') // biome-ignore format: one request
    })
  }
})

t.test('on loopback a page of this machine may send credentials that it knows', async (t) => {
  const { app } = await openApp(t, { insecure: false, corsOrigins: 'local' })
  const answer = await ask(app, 'GET /users', { ...admin, origin: 'http://localhost:3000' })
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers[ALLOW], '*', 'a browser sends none that it keeps by itself to "*"')
})

t.test('a named origin reads with credentials, and others do not at all', async (t) => {
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

t.test('to all origins everything that needs no account is open, and the answer is the same for all', async (t) => {
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

t.test('an origin that may write may sign in', async (t) => {
  const { app } = await openApp(t, { insecure: false, corsOrigins: ['*'], allowOrigins: [APP] })
  t.equal((await ask(app, 'POST /streams/s', { ...admin, origin: APP }, { type: 'T' })).statusCode, 201)
  t.equal((await ask(app, 'POST /streams/s', { ...admin, origin: EVIL }, { type: 'T' })).statusCode, 403)
})

t.test('a WebSocket that the first hooks refuse is answered, and its connection ends', async (t) => {
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
      'for somebody else',
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

t.test('nor does a page of another origin follow, whom it need not sign in', async (t) => {
  const { url } = await listen(t, { corsOrigins: 'local' })
  const headers = { connection: 'Upgrade', upgrade: 'websocket', origin: EVIL }
  const { status, text } = await send(`${url}/events`, {
    headers: { ...headers, 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
  })
  t.equal(status, 403)
  t.match(text, /origin-refused/)
})
