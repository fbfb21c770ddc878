/** What a proxy says is believed where it was declared, and nowhere else; what it passes on for others is not this machine's. */
import { request } from 'node:https'
import t from 'tap'
import { makeCertificate } from '../../src/commands/serve/certificate.js'
import { ask, listen, openApp } from '../helpers/app.js'
import { serve } from '../helpers/cli.js'
import { send } from '../helpers/http.js'
import { admin, basic, makeUser } from '../helpers/people.js'

const FOREIGN: Record<string, string>[] = [
  { 'x-forwarded-for': '203.0.113.9' },
  { 'x-forwarded-for': '127.0.0.1, 203.0.113.9' },
  { 'x-forwarded-for': '203.0.113.9, 127.0.0.1' },
  { 'x-forwarded-for': '2001:db8::1' },
  { 'x-forwarded-for': 'unknown' },
  { 'x-forwarded-for': '127.0.0.1.evil.example' },
  { forwarded: 'for=203.0.113.9' },
  { forwarded: 'for=203.0.113.9;proto=https;by=127.0.0.1' },
  { forwarded: 'proto=https; For="203.0.113.9"' },
  { forwarded: 'for="[2001:db8::1]"' },
  { forwarded: 'for=_hidden' }
]
const OURS: Record<string, string>[] = [
  {},
  { 'x-forwarded-for': '127.0.0.1' },
  { 'x-forwarded-for': '127.0.0.1, ::1' },
  { forwarded: 'for=127.0.0.1;proto=http' },
  { forwarded: 'for="[::1]"' },
  { forwarded: 'proto=https' },
  { 'x-forwarded-proto': 'https' }
]

t.test('on loopback what a proxy that nobody declared passes on for others is refused', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true, hosts: [] })
  for (const who of [{}, admin, basic('admin', 'guess')]) {
    for (const headers of FOREIGN) {
      for (const call of ['GET /events', 'GET /users', 'POST /streams/s', 'GET /nowhere', 'GET /ping']) {
        const answer = await ask(app, call, { ...headers, ...who }, call.startsWith('POST') ? { type: 'T' } : undefined)
        t.match(answer.json(), { status: 421, code: 'host-refused' }, `${call} ${JSON.stringify(headers)}`)
        t.match(answer.json().detail, /--trust-proxy/, 'it says what to do')
      }
    }
  }
  t.equal(store.log.head, -1, 'nothing is written')
  for (const headers of OURS) {
    t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
  }
})

t.test('where others can reach it such headers say nothing, and refuse nobody', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  for (const headers of FOREIGN) {
    t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
  }
  await ask(app, 'GET /users', { 'x-forwarded-for': '203.0.113.9', ...basic('admin', 'guess') })
  await store.failures.tell()
  const { events } = (await ask(app, 'GET /streams/$audit', admin)).json()
  t.match(events.at(-1), { type: 'SignInFailed', data: { from: '127.0.0.1' } }, 'where it came from')
})

t.test('behind a proxy credentials count that did not come to it in plain text', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, trustProxy: true, plainCredentials: 'by-proxy' })
  const { verify } = store.accounts
  let looked = 0
  store.accounts.verify = (...words) => {
    looked++
    return verify.apply(store.accounts, words)
  }
  const heard = [{ 'x-forwarded-proto': 'http' }, { 'x-forwarded-proto': 'https, http' }, { 'x-forwarded-proto': 'HTTP' }, { 'x-forwarded-proto': '' }, { 'x-forwarded-proto': 'ftp' }] // biome-ignore format: a list
  for (const headers of heard) {
    for (const who of [admin, basic('admin', 'guess'), { authorization: 'Bearer dbk_x.y' }]) {
      const answer = await ask(app, 'GET /users', { ...headers, ...who })
      t.match(answer.json(), { status: 403, code: 'tls-required' }, JSON.stringify(headers))
    }
    t.equal((await ask(app, 'GET /events?ticket=x', headers)).statusCode, 403, `a ticket, ${JSON.stringify(headers)}`)
  }
  t.equal(looked, 0, 'they are not looked at')
  t.equal((await ask(app, 'GET /ping', { 'x-forwarded-proto': 'http' })).statusCode, 200, 'who sends none is answered')
  const kept: Record<string, string>[] = [{}, { 'x-forwarded-proto': 'https' }, { 'x-forwarded-proto': 'http, https' }]
  for (const headers of kept) {
    t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
  }
})

t.test(
  'on loopback behind a proxy it starts with passwords that not everybody knows, and lets nobody in without',
  async (t) => {
    const db = t.testdir({})
    const argv = ['--db', db, '--port', '0', '--trust-proxy']
    const GIVEN = { DAYBOOK_ADMIN_PASSWORD: 'of-admin', DAYBOOK_OPS_PASSWORD: 'of-ops' }
    for (const env of [{}, { DAYBOOK_ADMIN_PASSWORD: 'of-admin' }, { ...GIVEN, DAYBOOK_ADMIN_PASSWORD: 'changeit' }]) {
      const said = serve(argv, { env: env as Record<string, string> }).then(
        ({ child }) => child.kill('SIGKILL') && 'it serves',
        (error: Error) => error.message
      )
      t.match(await said, /^ended with 2: [\s\S]*can sign in with the password "changeit"/)
    }
    const { child, url } = await serve(argv, { env: GIVEN })
    t.teardown(() => child.kill('SIGKILL'))
    const statusOf = async (path: string, headers: Record<string, string> = {}) =>
      (await send(url + path, { headers })).status
    const given = basic('admin', 'of-admin')
    const others = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https', host: 'store.example' }
    t.equal(await statusOf('/events'), 401, 'nobody without an account')
    t.equal(await statusOf('/events', others), 401)
    t.equal(await statusOf('/users', admin), 401, 'the password that everybody knows')
    t.equal(await statusOf('/users', { ...given, ...others }), 200)
    t.equal(await statusOf('/users', { ...given, ...others, 'x-forwarded-proto': 'http' }), 403)
  }
)

t.test('a name with a slash at the end is sent on to the address without it', async (t) => {
  const { app } = await openApp(t)
  const { headers } = await ask(app, 'GET /streams/s/?embed=body', {
    host: 'localhost:2113',
    'x-forwarded-proto': 'https'
  })
  t.equal(headers.location, 'http://localhost:2113/streams/s?embed=body', 'whatever a proxy says')
})

t.test('over HTTPS it is sent on to HTTPS', async (t) => {
  const { cert, key } = await makeCertificate(Date.now())
  const { url, store } = await listen(t, { tls: { cert, key }, insecure: false })
  const ann = await makeUser(store, 'ann')
  for (const path of ['/streams/s/', '/streams/s/metadata/', '/streams/s/?embed=body', '/streams/k%C3%A4se/']) {
    const location = await new Promise<string | undefined>((resolve, reject) => {
      const sent = request(url + path, { ca: cert, headers: ann, agent: false }, (response) => {
        response.resume()
        resolve(response.headers.location)
      })
      sent.on('error', reject)
      sent.end()
    })
    t.equal(location, url + path.replace(/\/(\?|$)/, '$1'), path)
  }
})

t.test(
  'on loopback whoever a proxy names anywhere is somebody else, also behind what a client said of itself',
  async (t) => {
    const { app } = await openApp(t, { insecure: false, anonymous: true, hosts: [] })
    const rows: Record<string, string>[] = [
      // A proxy adds its own after what the client sent.
      { forwarded: 'for=127.0.0.1, for=203.0.113.9' },
      { forwarded: 'for=127.0.0.1;proto=https, for="[2001:db8::1]"' },
      { forwarded: 'secret="for=127.0.0.1";for=203.0.113.9' },
      // A proxy that speaks Forwarded passes an X-Forwarded-For of the client on.
      { 'x-forwarded-for': '127.0.0.1', forwarded: 'for=203.0.113.9' }
    ]
    for (const headers of rows) {
      const answer = await ask(app, 'GET /users', { ...headers, ...admin })
      t.match(answer.json(), { status: 421, code: 'host-refused' }, JSON.stringify(headers))
    }
  }
)
