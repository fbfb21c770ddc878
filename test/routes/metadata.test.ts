import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { importAsLog } from '../../src/commands/move/as-log.js'
import { Store } from '../../src/store/store.js'
import { append, ask, openApp } from '../helpers/app.js'
import { admin, makeUser } from '../helpers/people.js'

const JSON_TYPE = { 'content-type': 'application/json' }

async function change(app: FastifyInstance, method: 'PUT' | 'PATCH', body: unknown, headers = {}) {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  return app.inject({ method, url: '/streams/s/metadata', headers: { ...JSON_TYPE, ...headers }, payload })
}

async function read(app: FastifyInstance) {
  return (await app.inject('/streams/s/metadata')).body.trim()
}

t.test('concurrent patches are all applied, with and without If-Match: *', async (t) => {
  for (const headers of [{}, { 'if-match': '*' }]) {
    const { app } = await openApp(t, { directory: t.testdir({ [Object.keys(headers).length]: {} }) })
    await change(app, 'PUT', { first: true })
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => change(app, 'PATCH', { [`k${i}`]: 1 }, headers))
    )
    t.same([...new Set(answers.map(({ statusCode }) => statusCode))], [200])
    t.equal(Object.keys(JSON.parse(await read(app))).length, 21, JSON.stringify(headers))
    await app.close()
  }
})

t.test('a patch under another version is refused, and changes nothing', async (t) => {
  const { app } = await openApp(t)
  t.match((await change(app, 'PATCH', { a: 1 }, { 'if-match': '*' })).json(), { status: 412, head: null })
  t.equal((await change(app, 'PATCH', { a: 1 }, { 'if-none-match': '*' })).statusCode, 201)
  t.match((await change(app, 'PATCH', { a: 2 }, { 'if-match': '"5"' })).json(), {
    status: 412,
    code: 'wrong-expected-version',
    head: 0
  })
  t.equal((await change(app, 'PATCH', { b: 2 }, { 'if-match': '"0"' })).statusCode, 200)
  t.equal(await read(app), '{"a":1,"b":2}')
})

t.test('a patch keeps the members that it does not name exactly as they were written', async (t) => {
  const { app } = await openApp(t)
  const headers = { ...JSON_TYPE, 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  const payload =
    '{"$maxAge":9223372036854775807,"$tb":12345678901234567,"limit":"own","$acl":{"$r":"ann","own":[1]},"n":1.50}'
  await app.inject({ method: 'POST', url: '/streams/s/metadata', headers, payload })
  t.equal((await change(app, 'PATCH', { acl: { write: ['bob'] }, cacheControl: 5 })).statusCode, 200)
  const stored = await app.inject({ url: '/streams/s/metadata', headers: { accept: 'application/json' } })
  t.equal(
    stored.body.replaceAll(/\s/g, ''),
    '{"$maxAge":9223372036854775807,"$tb":12345678901234567,"limit":"own","$acl":{"$r":"ann","own":[1],"$w":["bob"],"$d":["bob"],"$mw":["bob"]},"n":1.50,"$cacheControl":5}'
  )
  t.match(await read(app), /"maxAge":"P106751991167300DT15H30M7S"/, 'an age is exact to the second')
  t.equal((await change(app, 'PATCH', { acl: null, maxAge: null, n: null })).statusCode, 200)
  t.equal(await read(app), '{"truncateBefore":12345678901234567,"limit":"own","cacheControl":5}')
})

t.test('metadata that was read can be put back unchanged', async (t) => {
  const { app } = await openApp(t)
  await change(app, 'PUT', { maxAge: 'P1000000000D', maxCount: 5, acl: { read: 'ann' }, own: { a: [1.0] } })
  const before = await read(app)
  t.equal((await change(app, 'PUT', before)).statusCode, 200)
  t.equal(await read(app), before)
})

t.test('metadata beyond its size limit is refused, and the stored metadata stays', async (t) => {
  const { app, store } = await openApp(t)
  await change(app, 'PUT', { own: 1 })
  for (const method of ['PUT', 'PATCH'] as const) {
    const answer = await change(app, method, { own: 'x'.repeat(70_000) })
    t.match(answer.json(), { status: 413, code: 'body-too-large', detail: /65536 bytes/ }, method)
  }
  await change(app, 'PATCH', { a: 'x'.repeat(40_000) })
  t.match(
    (await change(app, 'PATCH', { b: 'x'.repeat(40_000) })).json(),
    { code: 'invalid-metadata' },
    'also if only the patched document is too large'
  )
  t.equal(store.log.head, 1)
})

t.test('the max-age of a head page is at most 2^31-1 seconds', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  await change(app, 'PUT', '{"cacheControl":9223372036854775807}')
  t.equal((await app.inject('/streams/s')).headers['cache-control'], 'public, max-age=2147483647')
})

t.test(
  'streams with names of any valid length have metadata, are listed, linked and deleted, in both forms',
  async (t) => {
    const { app } = await openApp(t)
    for (const [what, base] of [
      ['1,022 bytes', `c-${'b'.repeat(1020)}`],
      ['1,023 bytes', `${'b'.repeat(1021)}-1`],
      ['1,024 bytes', `${'b'.repeat(1022)}-1`],
      ['1,024 bytes of three-byte characters', `${'€'.repeat(340)}é-1`]
    ] as const) {
      const address = `/streams/${encodeURIComponent(base)}`
      const meta = `/streams/${encodeURIComponent(`$$${base}`)}`
      const dialect = { 'content-type': 'application/vnd.eventstore.events+json' }
      const changed = (id: number, data: object) => [
        { eventId: `5c1f7f3e-8a5b-4a57-9d0b-00000000000${id}`, eventType: '$metadata', data }
      ]
      const url = async (call: string, status: number, headers = {}, body?: unknown) => {
        const answer = await ask(app, call, headers, body)
        t.equal(answer.statusCode, status, `${what}: ${call.replace(/(.{30}).+(.{30})/, '$1…$2')}`)
        return answer
      }
      await url(`POST ${address}`, 201, {}, { type: 'T' })
      await url(`POST ${address}`, 201, {}, { type: 'T' })
      const category = base.slice(0, base.indexOf('-'))
      for (const [index, listed] of [
        [`$ce-${category}`, [{ stream: base }, { stream: base }]],
        [`$category-${category}`, [{ stream: base }]]
      ] as const) {
        const list = `/streams/${encodeURIComponent(index)}`
        t.match((await url(`GET ${list}`, 200)).json().events, listed)
        await url(`GET ${list}`, 200, { accept: 'application/vnd.eventstore.atom+json' })
        await url(`GET ${list}/metadata`, 200, { accept: 'application/json' })
      }
      await url(`PUT ${address}/metadata`, 201, {}, { maxCount: 1 })
      await url(`PATCH ${address}/metadata`, 200, {}, { cacheControl: 5 })
      await url(`POST ${address}/metadata`, 201, dialect, changed(1, { $maxCount: 1 }))
      await url(`POST ${meta}`, 201, dialect, changed(2, { $maxCount: 1 }))
      t.equal((await url(`GET ${address}`, 200)).json().events[0].number, 1, 'maxCount is applied')
      t.same((await url(`GET ${address}/metadata`, 200)).json(), { maxCount: 1 })
      for (const path of ['', '/3', '/head/backward/5']) {
        await url(`GET ${meta}${path}`, 200)
        await url(`GET ${meta}${path}`, 200, { accept: 'application/vnd.eventstore.atom+json' })
      }
      await url('POST /streams/links', 201, { 'event-type': '$>', 'content-type': 'text/plain' }, `1@${base}`)
      const linked = (await url('GET /streams/links?from=end&order=desc&limit=1', 200)).json()
      t.match(linked.events, [{ stream: base, number: 1, link: { stream: 'links' } }])
      await url(`DELETE ${address}`, 204)
      await url(`POST ${address}`, 201, {}, { type: 'T' })
      await url(`DELETE ${address}`, 204, { ...dialect, 'es-harddelete': 'true' })
      await url(`GET ${address}/metadata`, 410)
    }
    const tooLong = await ask(app, `PUT /streams/${'b'.repeat(1025)}/metadata`, {}, {})
    t.match(tooLong.json(), { status: 400, code: 'bad-stream-name', detail: /at most 1024 bytes.* has 1025/ })
  }
)

t.test('the longest possible type has an index stream', async (t) => {
  const { app } = await openApp(t)
  const type = 'T'.repeat(4096)
  const headers = { 'es-eventtype': type, 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  t.equal((await ask(app, 'POST /streams/s', headers, {})).statusCode, 201)
  t.match((await ask(app, `GET /streams/$et-${type}`)).json(), { events: [{ type }] })
})

const DIALECT = { 'content-type': 'application/vnd.eventstore.events+json' }
const ID = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'

t.test(
  'metadata keys that would have no effect are refused in every request, and the error names the right key',
  async (t) => {
    const { app, store } = await openApp(t)
    const readable: [body: object, member: string, meant: string][] = [
      [{ maxcount: 3 }, 'maxcount', 'maxCount'],
      [{ max_count: 3 }, 'max_count', 'maxCount'],
      [{ $maxAge: 60 }, '$maxAge', 'maxAge'],
      [{ maxAge: 'P1D', $tb: 5 }, '$tb', 'truncateBefore'],
      [{ 'cache-control': 5, own: 1 }, 'cache-control', 'cacheControl'],
      [{ $acl: { $r: 'ann' } }, '$acl', 'acl'],
      [{ acl: { Read: 'ann' } }, 'acl.Read', 'read'],
      [{ acl: { $r: 'ann' } }, 'acl.$r', 'read']
    ]
    for (const [body, member, meant] of readable) {
      for (const method of ['PUT', 'PATCH'] as const) {
        const problem = (await change(app, method, body)).json()
        t.match(problem, { status: 400, code: 'invalid-metadata', member, written: false, retry: false }, method)
        t.match(problem.detail, `Use the name "${meant}" instead`)
      }
    }
    const stored: [data: object, member: string, meant: string][] = [
      [{ maxCount: 3 }, 'maxCount', '$maxCount'],
      [{ $maxcount: 3 }, '$maxcount', '$maxCount'],
      [{ truncateBefore: 3 }, 'truncateBefore', '$tb'],
      [{ $acl: { read: 'ann' } }, '$acl.read', '$r'],
      [{ acl: { $r: 'ann' } }, 'acl', '$acl']
    ]
    for (const [data, member, meant] of stored) {
      const expectedDetail = `"${member}" would have no effect. Use the name "${meant}" instead.`
      for (const url of ['/streams/s/metadata', '/streams/$$s']) {
        const event = [{ eventId: ID, eventType: '$metadata', data }]
        t.match((await ask(app, `POST ${url}`, DIALECT, event)).body, expectedDetail, url)
        const bare = await ask(app, `POST ${url}`, { 'es-eventid': ID, 'es-eventtype': '$metadata' }, data)
        t.match([bare.statusCode, bare.body], [400, expectedDetail], url)
      }
      const line = JSON.stringify({ stream: '$$s', type: '$metadata', data })
      const streamed = await ask(app, 'POST /events', { 'content-type': 'application/x-ndjson' }, line)
      const wanted = { problem: { code: 'invalid-metadata', line: 1, member, detail: expectedDetail } }
      t.match(JSON.parse(streamed.body), wanted)
    }
    t.equal(store.log.head, -1, 'nothing was written')
    const own = { maximum: 3, retention: 'none', count: 1, $mine: { maxcount: 3 } }
    t.equal((await change(app, 'PUT', own)).statusCode, 201, 'other keys are the user’s own, and accepted')
    t.same(JSON.parse(await read(app)), own)
  }
)

t.test(
  'a stored key that looks misspelt stays when metadata is patched or put back, and a patch can remove it',
  async (t) => {
    const directory = join(t.testdir({ log: {} }), 'log')
    const first = await new Store({ directory }).open()
    const line = { stream: '$$s', number: 0, type: '$metadata', data: { maxcount: 3 }, position: 0 }
    const lines = [Buffer.from(JSON.stringify({ ...line, created: '2026-01-01T00:00:00.000Z' }))]
    await importAsLog(first, (async function* () { yield* lines })(), 10, async () => {}) // biome-ignore format: one line
    await first.close()
    const { app } = await openApp(t, { directory })
    t.equal((await change(app, 'PATCH', { cacheControl: 5 })).statusCode, 200)
    t.equal(
      (await change(app, 'PUT', { maxcount: 3, cacheControl: 6 })).statusCode,
      200,
      'the document that was read can be put back'
    )
    t.match((await change(app, 'PUT', { maxcount: 4 })).json(), { status: 400, member: 'maxcount' })
    t.equal((await change(app, 'PATCH', { maxcount: null })).statusCode, 200)
    t.equal(await read(app), '{"cacheControl":6}')
  }
)

t.test(
  'a rule that excludes no caller stays unchanged; other rules are completed as the security page says',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false, anonymous: true })
    await makeUser(store, 'ann')
    const all = '$all'
    for (const [i, [acl, more]] of (
      [
        [{ read: all }, {}],
        [{ read: [all], write: all }, {}],
        [{ delete: all }, {}],
        [{ read: ['ann', all] }, {}],
        [{ metadataRead: all, metadataWrite: [all] }, {}],
        [{}, {}],
        [{ write: ['ann'] }, { delete: ['ann'], metadataWrite: ['ann'] }],
        [{ read: 'ann' }, { delete: 'ann', metadataWrite: 'ann' }],
        [
          { read: 'ann', write: all },
          { delete: 'ann', metadataWrite: 'ann' }
        ],
        [
          { read: all, write: 'sales' },
          { delete: 'sales', metadataWrite: 'sales' }
        ],
        [{ read: [] }, { delete: [], metadataWrite: [] }],
        [{ read: all, delete: 'ann' }, { metadataWrite: [] }],
        [{ metadataRead: 'ann' }, { delete: [], metadataWrite: [] }],
        [{ read: 'ann', metadataWrite: all }, { delete: 'ann' }]
      ] as [object, object][]
    ).entries()) {
      const what = JSON.stringify(acl)
      for (const call of [`PUT /streams/s-${i}/metadata`, `PATCH /streams/p-${i}/metadata`]) {
        t.equal((await ask(app, call, {}, { acl })).statusCode, 201, `${call}: ${what}`)
        const url = call.replace(/^\w+/, 'GET')
        t.same((await ask(app, url, admin)).json(), { acl: { ...acl, ...more } }, `${call}: ${what}`)
        const again = await ask(app, call, {}, { acl, own: 1 })
        const isClosed = 'metadataWrite' in more
        t.equal(again.statusCode, isClosed ? 401 : 200, `${call}: its author ${isClosed ? 'may not' : 'may'} change it`)
      }
    }
  }
)

t.test('numbers in metadata are whole, within bounds, and keep their digits', async (t) => {
  const { app } = await openApp(t)
  const most = '9223372036854775807'
  const refused = [
    '9223372036854775808',
    '18446744073709551616',
    '1e400',
    '-1',
    '1.5',
    '9.3e18',
    '"5"',
    'null',
    'true',
    '[1]',
    `${most}.0`
  ]
  for (const [readable, stored, least] of [
    ['maxCount', '$maxCount', 1],
    ['cacheControl', '$cacheControl', 1],
    ['maxAge', '$maxAge', 1],
    ['truncateBefore', '$tb', 0]
  ] as const) {
    const isAge = readable === 'maxAge'
    for (const value of [...refused, String(least - 1)]) {
      if (value === 'null') continue
      const native = await change(app, 'PUT', `{"${readable}":${value}}`)
      t.match(native.json(), { status: 400, code: 'invalid-metadata', detail: readable }, `${readable} ${value}`)
      t.notMatch(native.json().detail, stored, 'the error uses the native name')
    }
    for (const value of [...refused, String(least - 1)]) {
      const answer = await ask(app, 'POST /streams/s/metadata', { 'es-eventid': ID }, `{"${stored}":${value}}`)
      t.match([answer.statusCode, answer.body], [400, /whole number/], `${stored} ${value}`)
    }
    for (const value of ['9007199254740993', '9007199254740995', most]) {
      const id = crypto.randomUUID()
      const answer = await ask(
        app,
        'POST /streams/s/metadata',
        { 'es-eventid': id },
        `{"${stored}":${value},"n":${value}1}`
      )
      t.equal(answer.statusCode, 201, `${stored} ${value}`)
      if (!isAge) {
        t.equal(await read(app), `{"${readable}":${value},"n":${value}1}`)
        t.equal((await change(app, 'PUT', `{"${readable}":${value}}`)).statusCode, 200)
      }
      t.equal((await change(app, 'PATCH', { own: 1 })).statusCode, 200)
      const document = (await ask(app, 'GET /streams/s/metadata', { accept: 'application/octet-stream' })).body
      t.match(document, isAge ? `"$maxAge":${value},` : `"${stored}":${value},`)
    }
  }
  for (const age of ['P106751991167300DT15H30M8S', 'P106751991167301D', 'PT0S', 'P0D']) {
    const detail = '"maxAge" must be from 1 second to 2^63-1 seconds.'
    t.match((await change(app, 'PUT', { maxAge: age })).json(), { status: 400, detail }, age)
  }
  t.equal((await change(app, 'PUT', { maxAge: 'P106751991167300DT15H30M7S' })).statusCode, 200)
})
