/**
 * Forwarding headers are trusted only from a declared proxy. Without one, a forwarded request does not count as local.
 */
import { request } from 'node:https'
import t from 'tap'
import { makeCertificate } from '../../src/commands/serve/certificate.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { serve } from '../helpers/cli.js'
import { send } from '../helpers/http.js'
import { admin, basic, makeUser } from '../helpers/people.js'

const FORWARDED_FOR_OTHERS: Record<string, string>[] = [
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
const LOCAL_HEADERS: Record<string, string>[] = [
  {},
  { 'x-forwarded-for': '127.0.0.1' },
  { 'x-forwarded-for': '127.0.0.1, ::1' },
  { forwarded: 'for=127.0.0.1;proto=http' },
  { forwarded: 'for="[::1]"' },
  { forwarded: 'proto=https' },
  { 'x-forwarded-proto': 'https' }
]

t.test('on loopback, requests that an undeclared proxy forwards for others are refused', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true, hosts: [] })
  for (const who of [{}, admin, basic('admin', 'guess')]) {
    for (const headers of FORWARDED_FOR_OTHERS) {
      for (const call of ['GET /events', 'GET /users', 'POST /streams/s', 'GET /nowhere', 'GET /ping']) {
        const answer = await ask(app, call, { ...headers, ...who }, call.startsWith('POST') ? { type: 'T' } : undefined)
        t.match(answer.json(), { status: 421, code: 'host-refused' }, `${call} ${JSON.stringify(headers)}`)
        t.match(answer.json().detail, /--trust-proxy/, 'the error names the flag')
      }
    }
  }
  t.equal(store.log.head, -1, 'nothing is written')
  for (const headers of LOCAL_HEADERS) {
    t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
  }
})

t.test('on other interfaces, the forwarding headers of an undeclared proxy are ignored', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  for (const headers of FORWARDED_FOR_OTHERS) {
    t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
  }
  await ask(app, 'GET /users', { 'x-forwarded-for': '203.0.113.9', ...basic('admin', 'guess') })
  await store.failures.flush()
  const { events } = (await ask(app, 'GET /streams/$audit', admin)).json()
  t.match(
    events.at(-1),
    { type: 'SignInFailed', data: { from: '127.0.0.1' } },
    'the audit record names the address of the connection'
  )
})

t.test(
  'behind a proxy, credentials that the client sent in plain text are refused without being verified',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false, trustProxy: true, plainCredentials: 'by-proxy' })
    const { verify } = store.accounts
    let verifyCalls = 0
    store.accounts.verify = (...args) => {
      verifyCalls++
      return verify.apply(store.accounts, args)
    }
    const plainTextHeaders = [{ 'x-forwarded-proto': 'http' }, { 'x-forwarded-proto': 'https, http' }, { 'x-forwarded-proto': 'HTTP' }, { 'x-forwarded-proto': '' }, { 'x-forwarded-proto': 'ftp' }] // biome-ignore format: a list
    for (const headers of plainTextHeaders) {
      for (const who of [admin, basic('admin', 'guess'), { authorization: 'Bearer dbk_x.y' }]) {
        const answer = await ask(app, 'GET /users', { ...headers, ...who })
        t.match(answer.json(), { status: 403, code: 'tls-required' }, JSON.stringify(headers))
      }
      t.equal((await ask(app, 'GET /events?ticket=x', headers)).statusCode, 403, `a ticket, ${JSON.stringify(headers)}`)
    }
    t.equal(verifyCalls, 0, 'no password is verified')
    t.equal(
      (await ask(app, 'GET /ping', { 'x-forwarded-proto': 'http' })).statusCode,
      200,
      'a request without credentials is served'
    )
    const acceptedHeaders: Record<string, string>[] = [
      {},
      { 'x-forwarded-proto': 'https' },
      { 'x-forwarded-proto': 'http, https' }
    ]
    for (const headers of acceptedHeaders) {
      t.equal((await ask(app, 'GET /users', { ...headers, ...admin })).statusCode, 200, JSON.stringify(headers))
    }
  }
)

t.test(
  'on loopback behind a proxy, the server needs other passwords than the default ones, and no request is anonymous',
  async (t) => {
    const db = t.testdir({})
    const argv = ['--db', db, '--port', '0', '--trust-proxy']
    const PASSWORDS = { DAYBOOK_ADMIN_PASSWORD: 'of-admin', DAYBOOK_OPS_PASSWORD: 'of-ops' }
    for (const env of [
      {},
      { DAYBOOK_ADMIN_PASSWORD: 'of-admin' },
      { ...PASSWORDS, DAYBOOK_ADMIN_PASSWORD: 'changeit' }
    ]) {
      const outcome = serve(argv, { env: env as Record<string, string> }).then(
        ({ child }) => child.kill('SIGKILL') && 'the server started',
        (error: Error) => error.message
      )
      t.match(await outcome, /^ended with 2: [\s\S]*can sign in with the default password "changeit"/)
    }
    const { child, url } = await serve(argv, { env: PASSWORDS })
    t.teardown(() => child.kill('SIGKILL'))
    const statusOf = async (path: string, headers: Record<string, string> = {}) =>
      (await send(url + path, { headers })).status
    const given = basic('admin', 'of-admin')
    const others = { 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'https', host: 'store.example' }
    t.equal(await statusOf('/events'), 401, 'without credentials')
    t.equal(await statusOf('/events', others), 401)
    t.equal(await statusOf('/users', admin), 401, 'with the default password')
    t.equal(await statusOf('/users', { ...given, ...others }), 200)
    t.equal(await statusOf('/users', { ...given, ...others, 'x-forwarded-proto': 'http' }), 403)
  }
)

t.test('an address with a trailing slash redirects to the address without it', async (t) => {
  const { app } = await openApp(t)
  const { headers } = await ask(app, 'GET /streams/s/?embed=body', {
    host: 'localhost:2113',
    'x-forwarded-proto': 'https'
  })
  t.equal(
    headers.location,
    'http://localhost:2113/streams/s?embed=body',
    'X-Forwarded-Proto of an undeclared proxy is ignored'
  )
})

t.test('over HTTPS the redirect of a trailing slash leads to HTTPS', async (t) => {
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

t.test('on loopback a request is refused if any part of a forwarding header names another address', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, hosts: [] })
  const rows: Record<string, string>[] = [
    // A proxy appends its own entry to those that the client sent.
    { forwarded: 'for=127.0.0.1, for=203.0.113.9' },
    { forwarded: 'for=127.0.0.1;proto=https, for="[2001:db8::1]"' },
    { forwarded: 'secret="for=127.0.0.1";for=203.0.113.9' },
    // A proxy that writes Forwarded passes on the X-Forwarded-For of the client.
    { 'x-forwarded-for': '127.0.0.1', forwarded: 'for=203.0.113.9' }
  ]
  for (const headers of rows) {
    const answer = await ask(app, 'GET /users', { ...headers, ...admin })
    t.match(answer.json(), { status: 421, code: 'host-refused' }, JSON.stringify(headers))
  }
})

const PROXIED = {
  host: 'store.example',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'store.example',
  'x-forwarded-prefix': '/es'
}
const ATOM = 'application/vnd.eventstore.atom+json'
const EVENTS = 'application/vnd.eventstore.events+json'

/** One call for each kind of answer that contains addresses. */
const CALLS: [call: string, headers?: Record<string, string>, body?: unknown][] = [
  ['GET /'],
  ['GET /info'],
  ['GET /streams?limit=1'],
  ['GET /categories?limit=1'],
  ['GET /types?limit=1'],
  ['GET /streams/cart-1?limit=1'],
  ['GET /streams/cart-1?order=desc&limit=1'],
  ['GET /streams/cart-1?after=99&wait=0'],
  ['GET /streams/cart-1?from=0&limit=1&format=page'],
  ['GET /streams/$ce-cart?limit=1'],
  ['GET /events?type=T&limit=1'],
  ['POST /streams/new-1', {}, { type: 'T' }],
  ['POST /events', {}, { events: [{ stream: 'new-2', type: 'T' }] }],
  ['POST /streams/cart-1', { 'if-match': '"0"' }, { type: 'T' }],
  ['PUT /consumers/c', {}, { source: '/es/events?type=T' }],
  ['GET /consumers'],
  ['GET /consumers/c'],
  ['GET /consumers/c/events?limit=1'],
  ['POST /consumers/c/reset', {}, { to: 'start' }],
  ['POST /tickets', {}, { source: '/es/streams/cart-1' }],
  ['POST /tokens', {}, { name: 't', read: ['*'] }],
  ['POST /users/', {}, { loginName: 'ann', fullName: 'Ann', groups: [], password: 'wonder' }],
  ['GET /users/ann'],
  ['GET /users'],
  ['GET /streams/cart-1/'],
  ['GET /streams/cart-1/metadata/?embed=body'],
  ['GET /streams/cart-1', { accept: ATOM }],
  ['GET /streams/cart-1/0', { accept: ATOM }],
  ['GET /streams/$all', { accept: ATOM }],
  ['GET /streams/cart-1', { accept: 'application/vnd.eventstore.streamdesc+json' }],
  [
    'POST /streams/old-1',
    { 'content-type': EVENTS },
    [{ eventId: '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11', eventType: 'T', data: {} }]
  ],
  ['GET /streams/none'],
  ['GET /nowhere'],
  ['GET /events?typ=x'],
  ['PUT /events'],
  ['POST /streams/cart-1', { 'content-type': 'text/plain' }, 'x'],
  ['GET /streams/%zz'],
  ['GET /events?format=sse&consumer=none'],
  ['POST /events?batch=1', { 'content-type': 'application/x-ndjson' }, '{"type":1}']
]

/** Returns every address in an answer: those in its headers, and those in the values of its document. */
function addressesIn({ headers, body }: { headers: Record<string, unknown>; body: string }): string[] {
  const links = [...String(headers.link ?? '').matchAll(/<([^>]*)>/g)].map(([, address]) => address as string)
  const values = [...body.matchAll(/"(?!(?:source|pointer)")[a-zA-Z]+":\s?"((?:https?:\/\/[^/"]*)?\/[^"]*)"/g)].map(
    ([, value]) => value as string
  )
  return [...[headers.location ?? []].flat().map(String), ...links, ...values]
}

t.test('behind a trusted proxy every address in every answer is valid for the client', async (t) => {
  const { app } = await openApp(t, { insecure: false, trustProxy: true })
  for (let i = 0; i < 3; i++) await append(app, 'cart-1', { type: 'T' }, admin)
  for (const [call, headers = {}, body] of CALLS) {
    const answer = await ask(app, call, { ...PROXIED, ...admin, ...headers }, body)
    const addresses = addressesIn(answer)
    t.ok(addresses.length > 0, `${call}: addresses were found in ${answer.statusCode} ${answer.body.slice(0, 200)}`)
    for (const address of addresses)
      t.match(address, /^(https:\/\/store\.example)?\/es\/[a-z]/, `${call} ${headers.accept}`)
    const location = answer.headers.location
    if (location !== undefined && /^GET .*\/(\?|$)/.test(call))
      t.match(location, /^https:\/\/store\.example\/es\/streams\/cart-1/, call)
  }
  const contract = await ask(app, 'GET /openapi.yaml', PROXIED)
  t.match(contract.body, /^servers:\n {2}- url: "https:\/\/store\.example\/es"\n[a-z]/m)
})

t.test('without a declared proxy, and without forwarding headers, addresses have no prefix', async (t) => {
  const directory = t.testdir({ 0: {}, 1: {} })
  for (const [i, [options, headers]] of [
    [{ trustProxy: false }, PROXIED],
    [{ trustProxy: true }, { host: 'store.example' }]
  ].entries()) {
    const { app } = await openApp(t, { ...options, directory: `${directory}/${i}` })
    await append(app, 's', { type: 'T' })
    const page = await ask(app, 'GET /streams/s', headers as Record<string, string>)
    t.match(page.json().links, { self: '/streams/s', live: /^\/streams\/s\?/ })
    t.notMatch(page.headers.vary, /prefix/i)
    t.match(page.headers.link, /^<\/streams\/s\?/)
    t.equal((await ask(app, 'GET /nowhere', headers as Record<string, string>)).json().type, '/problems/not-found')
  }
})

t.test('a redirect names http only if X-Forwarded-Proto does', async (t) => {
  const { app } = await openApp(t, { trustProxy: true })
  const rows: [headers: Record<string, string>, location: string][] = [
    [{}, '/streams/s'],
    [{ 'x-forwarded-prefix': '/es/' }, '/es/streams/s'],
    [{ 'x-forwarded-proto': 'javascript', 'x-forwarded-prefix': '/es' }, '/es/streams/s'],
    [{ 'x-forwarded-proto': 'http' }, 'http://store.example/streams/s'],
    [{ 'x-forwarded-proto': 'HTTPS, http', 'x-forwarded-port': '8443' }, 'https://store.example:8443/streams/s']
  ]
  for (const [headers, location] of rows) {
    const answer = await ask(app, 'GET /streams/s/', { host: 'store.example', ...headers })
    t.equal(answer.headers.location, location, JSON.stringify(headers))
    t.match(answer.headers.vary, /X-Forwarded-Proto/, 'it varies by protocol, because caches keep it for a year')
  }
})

t.test('forwarding headers with invalid values are ignored in every format; valid prefixes are used', async (t) => {
  const { app } = await openApp(t, { trustProxy: true })
  await append(app, 's', { type: 'T' })
  const hostile = ['//evil.example', '/..', '/../x', '/a/../b', '/%2e%2e', '/a//b', '/"><script>', "/'x", '/a b', '/a\\b', '/a?b', '/a#b', '/a;b', '/a<b', 'javascript:alert(1)', 'https://evil.example', '/%0d%0aX', '/%2F%2Fevil', '/', '///', '/a, //evil', `/${'x'.repeat(300)}`, '/käse'] // biome-ignore format: a list
  for (const prefix of hostile) {
    const headers = { host: 'h', 'x-forwarded-prefix': Buffer.from(prefix).toString('latin1') }
    t.equal((await ask(app, 'GET /streams/s', headers)).json().links.self, '/streams/s', prefix)
    t.equal((await ask(app, 'GET /streams/s/', headers)).headers.location, '/streams/s', prefix)
    const atom = (await ask(app, 'GET /streams/s', { ...headers, accept: ATOM })).json()
    t.match(atom.selfUrl, /^http:\/\/h\/?\/streams\/s$/, prefix)
  }
  for (const [name, value] of [['proto', 'javascript'], ['proto', 'https:'], ['host', 'evil"><x'], ['host', 'a/b'], ['host', 'a@b'], ['port', '8x']]) {
    const headers = { host: 'h', [`x-forwarded-${name}`]: value as string, accept: ATOM }
    t.equal((await ask(app, 'GET /streams/s', headers)).json().selfUrl, 'http://h/streams/s', `${name} ${value}`)
  } // biome-ignore format: a list
  const rows = {
    es: '/es',
    '/es/': '/es',
    '/a/b.c': '/a/b.c',
    '/outer, /inner': '/outer/inner',
    '/k%C3%A4se': '/k%C3%A4se'
  }
  for (const [prefix, path] of Object.entries(rows)) {
    const { links } = (await ask(app, 'GET /streams/s', { 'x-forwarded-prefix': prefix })).json()
    t.equal(links.self, `${path}/streams/s`, prefix)
  }
})

t.test('a page cached for one prefix is not served under another', async (t) => {
  const { app } = await openApp(t, { trustProxy: true })
  for (let i = 0; i < 3; i++) await append(app, 's', { type: 'T' })
  const tags = new Map<string, string>()
  for (let round = 0; round < 3; round++) {
    for (const prefix of ['', '/es', '/streams']) {
      const headers: Record<string, string> = prefix === '' ? {} : { 'x-forwarded-prefix': prefix }
      const answer = await ask(app, 'GET /streams/s?from=0&limit=1&format=page', headers)
      const addresses = addressesIn(answer)
      t.ok(addresses.length > 0, `addresses were found under "${prefix}"`)
      for (const address of addresses) t.ok(address.startsWith(`${prefix}/streams/s`), `${address} under ${prefix}`)
      if (prefix !== '') t.match(answer.headers.vary, /X-Forwarded-Prefix/)
      tags.set(prefix, answer.headers.etag as string)
      for (const [other, tag] of tags) {
        const { statusCode } = await ask(app, 'GET /streams/s?from=0&limit=1&format=page', {
          ...headers,
          'if-none-match': tag
        })
        t.equal(statusCode, other === prefix ? 304 : 200, `the ETag of prefix "${other}" under prefix "${prefix}"`)
      }
    }
  }
})

t.test('a WebSocket handshake that lost its Upgrade header in a proxy gets 426 with an explanation', async (t) => {
  const { url, app } = await listen(t)
  await append(app, 's', { type: 'T' })
  const handshake = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' }
  for (const path of ['/streams/s', '/events', '/events?type=T', '/streams/later']) {
    for (const headers of [handshake, { ...handshake, connection: 'close', accept: 'text/html' }]) {
      const answer = await send(url + path, { headers })
      t.equal(answer.status, 426, path)
      t.equal(answer.headers.upgrade, 'websocket', 'RFC 9110 15.5.22')
      t.match(answer.text, /"upgrade-lost".*proxy.*Upgrade and Connection/, path)
    }
  }
  t.equal((await send(`${url}/streams`, { headers: handshake })).status, 400, 'this resource has no live reads')
  t.equal((await send(`${url}/nowhere`, { headers: handshake })).status, 404)
})
