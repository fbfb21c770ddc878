/**
 * Access rules cannot be bypassed by another spelling of the address, another format, a listing, a link, a cache or a
 * JSON key.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { append, listen, openApp } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, basic, type Credentials, makeUser, setRules } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

/**
 * Markers of a stream that Bob may not read: in its name and a tag, in the data of its events, and in an event type.
 */
const HIDDEN = 'xyzzy'
const DATA = 'plugh'
const TYPE = 'frotz'
const ATOM = 'application/vnd.eventstore.atom+json'
/** The text of a link and the address of its target. Both are in a stream that Bob may read, so they reveal nothing. */
const LINK = [`0@${HIDDEN}-1`, `/streams/${HIDDEN}-1/0`]

/** Opens a server with two streams that only Ann may read. One of them has a name with several spellings. */
async function withSecrets(
  t: Test
): Promise<{ app: FastifyInstance; ann: Credentials; bob: Credentials; head: number }> {
  const { app, store } = await openApp(t, { insecure: false })
  const [bob, ann] = [await makeUser(store, 'bob'), await makeUser(store, 'ann')]
  const data = { said: DATA }
  const secret = { type: `${TYPE}Type`, data, tags: [HIDDEN], metadata: { $correlationId: HIDDEN } }
  await append(app, `${HIDDEN}-1`, [secret, { type: 'Plain', data }], admin)
  await append(app, 'käse', { type: 'Plain', data }, admin)
  for (const stream of [`${HIDDEN}-1`, 'käse']) {
    await setRules(app, stream, { read: 'ann', write: 'ann', delete: 'ann', metadataRead: 'ann', metadataWrite: 'ann' })
  }
  await append(app, 'links', LINK[0], { ...admin, 'content-type': 'text/plain', 'event-type': '$>' })
  await append(app, 'plain', { type: 'Plain' }, admin)
  return { app, ann, bob, head: store.log.head }
}

const FORMS: Record<string, string>[] = [
  { accept: '*/*' },
  { accept: ATOM },
  { accept: 'application/vnd.eventstore.event+json' },
  { accept: 'application/json' },
  { accept: 'application/atom+xml' },
  { accept: 'application/vnd.eventstore.event+xml' },
  { accept: 'text/xml' },
  { accept: 'application/octet-stream' },
  { accept: '*/*', 'es-resolvelinktos': 'true' },
  { accept: '*/*', 'if-none-match': '*' }
]

/** Returns the status of an answer, and the markers in it that the request itself does not name. */
async function markersShownTo(app: FastifyInstance, who: Credentials, url: string, form: Record<string, string>) {
  const { statusCode, body, headers } = await app.inject({ url, headers: { ...form, ...who } })
  let text = `${body} ${JSON.stringify(headers)}`
  const named = [...LINK, `$et-${TYPE}Type`, `type=${TYPE}Type`]
  for (const one of named) text = text.replaceAll(one, '').replaceAll(encodeURIComponent(one), '')
  const names = /xyzzy|%(25)*78yzzy/i.test(url) ? [] : [HIDDEN]
  return { statusCode, shown: [DATA, TYPE, ...names].filter((marker) => text.includes(marker)) }
}

t.test('no read by another account reveals hidden events, in any spelling, listing or format', async (t) => {
  const { app, ann, bob, head } = await withSecrets(t)
  const name = `${HIDDEN}-1`
  const paths = [
    ...[name, '%78yzzy-1', '%2578yzzy-1', `${name}%00`, `${name}/`, `${name}//`, `/${name}`, `./${name}`, `%2e%2e%2f${name}`,
      `..%2fstreams%2f${name}`, `$$${name}`, `%24%24${name}`, `%2524%2524${name}`, `${name.toUpperCase()}`, 'ka%CC%88se', 'k%C3%A4se',
      'k%E4se'].flatMap((one) => ['', '/0', '/head', '/metadata', '/metadata/0', '/0/forward/5', '/head/backward/5?embed=body', '/0/1']
        .map((rest) => `/streams/${one}${rest}`)),
    ...Array.from({ length: head + 1 }, (_, position) => `/events/${position}`),
    ...['', '?order=desc', '?truncated=true&system=true', `?stream=${name}`, `?stream.prefix=${HIDDEN}`, '?stream.regex=.', '?type=Plain',
      `?type=${TYPE}Type`, '?type.prefix=f', `?tag=${HIDDEN}`, `?category=${HIDDEN}`, '?system=true&resolveLinks=true',
      '?format=ndjson', '?format=ndjson&truncated=true', '?format=sse&limit=1&live=false', '?wait=0'].map((rest) => `/events${rest}`),
    ...[`$ce-${HIDDEN}`, `$et-${TYPE}Type`, '$et-Plain', `$bc-${HIDDEN}`, '$streams', `$category-${HIDDEN}`, '$all']
      .flatMap((one) => ['', '/0', '/head', '/0/forward/20?embed=tryharder', '/head/backward/20?embed=content', '?embed=body']
        .map((rest) => `/streams/${one}${rest}`)),
    ...['links', 'links/0', 'links?embed=body', 'links/0/forward/5?embed=tryharder', 'links?format=ndjson', '$links'].map((rest) => `/streams/${rest}`),
    '/streams', '/streams?system=true', `/streams?prefix=${HIDDEN}`, '/categories', '/types', '/consumers', '/streams/$audit', '/streams/$user-ann',
    '/metrics', '/stats', '/info'
  ] // biome-ignore format: a list
  for (const url of paths) {
    for (const form of FORMS) {
      const { statusCode, shown } = await markersShownTo(app, bob, url, form)
      if (shown.length > 0) t.fail(`${url} (${form.accept}): ${statusCode} shows ${shown}`)
      if (statusCode >= 500) t.fail(`${url} (${form.accept}): ${statusCode}`)
      if (/^\/streams\/(xyzzy-1|k%C3%A4se)(\/0|\/metadata)?$/.test(url)) t.match(String(statusCode), /40[136]/, url)
    }
  }
  // Ann must see the markers in every format: otherwise the checks above would find nothing.
  for (const form of FORMS) {
    const found = new Set<string>()
    for (const url of [
      `/streams/${name}/0`,
      `/streams/${name}/0/forward/5?embed=body`,
      '/streams/links/0',
      `/streams/$ce-${HIDDEN}/0`
    ]) {
      for (const marker of (await markersShownTo(app, ann, url, form)).shown) found.add(marker)
    }
    t.ok(found.has(DATA), `${form.accept}: Ann sees the data`)
    // The raw data has no type.
    t.equal(found.has(TYPE), form.accept !== 'application/octet-stream', `${form.accept}: Ann sees the type`)
  }
  for (const url of [
    '/events',
    '/types',
    '/streams',
    '/categories',
    `/streams/$et-${TYPE}Type`,
    `/streams/$et-${TYPE}Type/0`
  ]) {
    t.not((await markersShownTo(app, ann, url, { accept: '*/*' })).shown.length, 0, `${url}: Ann`)
  }
})

t.test('conditions on tags, types and heads, errors and ETags do not reveal hidden streams', async (t) => {
  const { app, bob } = await withSecrets(t)
  const post = (url: string, payload: unknown, more: Record<string, string> = {}) =>
    app.inject({
      method: 'POST',
      url,
      headers: { accept: '*/*', 'content-type': 'application/json', ...bob, ...more },
      payload: JSON.stringify(payload)
    })
  const items = [{ tags: [HIDDEN] }, { types: [`${TYPE}Type`] }]
  const known = await post('/events', {
    events: [{ stream: 'plain', type: 'T' }],
    conditions: [{ failIfEventsMatch: { items } }]
  })
  t.equal(known.statusCode, 201)
  for (const head of ['none', 'exists', 0]) {
    const guess = { events: [{ stream: 'plain', type: 'T' }], conditions: [{ stream: `${HIDDEN}-1`, head }] }
    t.match((await post('/events', guess)).json(), { status: 403, code: 'not-permitted' })
  }
  await setRules(app, `${HIDDEN}-1`, { read: 'ann', write: 'bob' })
  const missed = await post(`/streams/${HIDDEN}-1`, { type: 'T' }, { 'if-match': '"0"' })
  t.equal(missed.statusCode, 412)
  t.notOk('missed' in missed.json(), 'a writer without read access is not told which events it missed')
  for (const tag of ['"1"', '*', 'W/"1"']) {
    const url = `/streams/${HIDDEN}-1`
    const { statusCode } = await app.inject({ url, headers: { accept: '*/*', 'if-none-match': tag, ...bob } })
    t.equal(statusCode, 403, `If-None-Match: ${tag} does not reveal the head`)
  }
  t.equal((await app.inject({ method: 'HEAD', url: `/streams/${HIDDEN}-1`, headers: bob })).statusCode, 403)
})

t.test('JSON keys such as __proto__ are stored as data and grant no rights', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  const data = '{"__proto__":{"admin":true},"constructor":{"prototype":{"groups":["$admins"]}},"a":1}'
  const sent = `{"type":"T","data":${data},"metadata":{"__proto__":{"x":1}}}`
  t.equal((await append(app, 's', sent, bob)).statusCode, 201)
  const { body } = await app.inject({ url: '/streams/s/0', headers: { accept: '*/*', ...bob } })
  t.match(
    body,
    data.replaceAll(/[{}[\]$]/g, '\\$&') && new RegExp(data.replaceAll(/[{}[\]$]/g, '\\$&')),
    'byte for byte'
  )
  const poison = '"__proto__":{"groups":["$admins"],"login":"admin","read":["*"],"$r":"bob"}'
  const json = (who: Record<string, string>) => ({ accept: '*/*', 'content-type': 'application/json', ...who })
  const bodies: [method: 'POST' | 'PUT' | 'PATCH', url: string, body: string][] = [
    ['POST', '/users', `{"loginName":"eve","password":"eve",${poison}}`],
    ['PUT', '/users/bob', `{"fullName":"Bob",${poison}}`],
    ['POST', '/tokens', `{"name":"x","read":["s"],${poison}}`],
    ['POST', '/tickets', `{"source":"/streams/s",${poison}}`],
    ['PUT', '/consumers/c', `{"source":"/events",${poison}}`],
    ['PUT', '/streams/s/metadata', `{"acl":{"read":"ann",${poison}},${poison}}`],
    ['PATCH', '/streams/s/metadata', `{${poison}}`],
    ['POST', '/streams/$settings', `{"type":"$settings","data":{${poison}}}`],
    ['POST', '/events', `{"events":[{"stream":"s","type":"T",${poison}}],${poison}}`]
  ]
  for (const [method, url, payload] of bodies) {
    const { statusCode } = await app.inject({ method, url, headers: json(admin), payload })
    t.ok(statusCode < 500, `${method} ${url}: ${statusCode}`)
  }
  t.same(Object.keys(Object.prototype), [])
  for (const name of ['admin', 'groups', 'login', 'read', '$r']) t.notOk(name in {}, name)
  for (const who of [bob, basic('eve', 'eve')]) {
    t.equal((await app.inject({ url: '/users', headers: json(who) })).statusCode, 403)
    t.equal((await app.inject({ url: '/streams/$settings', headers: json(who) })).statusCode, 403)
  }
  for (const login of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const { statusCode } = await app.inject({ url: `/users/${login}`, headers: json(admin) })
    t.equal(statusCode, 404, login)
  }
})

t.test(
  'login names and request ids with special characters are refused or encoded, and never break a header',
  async (t) => {
    const { app, store, raw } = await listenRaw(t, { insecure: false })
    const json = { accept: '*/*', 'content-type': 'application/json', ...admin }
    for (const login of [
      'a\r\nSet-Cookie: x=1',
      'a\nb',
      '\u001b[31mred',
      'a\u0000b',
      '$admins',
      '$all',
      '',
      'a:b',
      'x'.repeat(300)
    ]) {
      const answer = await app.inject({
        method: 'POST',
        url: '/users',
        headers: json,
        payload: { loginName: login, password: 'x' }
      })
      t.match(answer.json(), { status: 400, code: 'invalid-user' }, JSON.stringify(login.slice(0, 30)))
    }
    for (const login of ['"quoted"', 'käse', 'a b', '../../etc', 'a/b', '%0d%0aX-y', '‮gnirts']) {
      const answer = await app.inject({
        method: 'POST',
        url: '/users',
        headers: json,
        payload: { loginName: login, password: 'x' }
      })
      t.equal(answer.statusCode, 201, login)
      t.match(String(answer.headers.location), /^[\x21-\x7e]+$/)
      t.equal((await app.inject({ url: `/users/${encodeURIComponent(login)}`, headers: json })).statusCode, 200, login)
      t.equal((await app.inject({ url: '/users/$current', headers: basic(login, 'x') })).statusCode, 200, login)
    }
    t.ok(store.accounts.all().length > 8)
    for (const id of ['x\u001b[31m', 'a b', 'é', '"><script>', 'x'.repeat(200)]) {
      const { headers } = await raw(
        `GET /users HTTP/1.1\r\nHost: localhost\r\nRequest-Id: ${id}\r\nConnection: close\r\n\r\n`
      )
      // A header that is invalid HTTP is refused before the request gets an id.
      t.match(
        headers['request-id'] ?? 'none',
        /^[\w.:/+=-]{1,128}$/,
        `${JSON.stringify(id.slice(0, 20))} is not echoed`
      )
    }
  }
)

t.test('a WebSocket handshake needs the same rights as a page, and is refused before the upgrade', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false, allowOrigins: ['https://app.example'] })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T' }, admin)
  await setRules(app, 's', { read: 'ann' })
  const opened = async (headers: Record<string, string>) => {
    try {
      const socket = await LiveSocket.open(t, `${url}/streams/s`, headers)
      await socket.untilEvents(1)
      return 101
    } catch (error) {
      return Number(/refused with (\d+)/.exec((error as Error).message)?.[1])
    }
  }
  t.equal(await opened(ann), 101, 'without an Origin header: no browser')
  t.equal(await opened({ ...ann, origin: url }), 101, 'from the server’s own origin')
  t.equal(await opened({ ...ann, origin: 'https://app.example' }), 101)
  t.equal(await opened({ ...ann, origin: 'https://evil.example' }), 403)
  t.equal(await opened({ ...ann, origin: 'null' }), 403)
  t.equal(await opened({}), 401)
  t.equal(await opened(basic('ann', 'wrong')), 401)
  t.equal(await opened(await makeUser(store, 'bob')), 403)
  t.equal(store.subscriptions.size, 3)
})
