/** Invalid metadata is refused in every kind of request, and grants no access where a log already holds it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { importAsLog } from '../../src/commands/move/as-log.js'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { daybook } from '../helpers/cli.js'
import { admin, bearer, type Credentials, makeToken, makeUser, setRules } from '../helpers/people.js'

const ID = '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'
const DIALECT = { 'content-type': 'application/vnd.eventstore.events+json' }
const LINES = { 'content-type': 'application/x-ndjson' }

/**
 * The data of a metastream event, the member that `problem.member` names, and the users who may read the stream if a
 * log holds this event.
 */
const INVALID: [data: string, member: string | undefined, readers: string[]][] = [
  ['{"$acl":{"$r":["ann"]},"$maxCount":0}', '$maxCount', ['ann']],
  ['{"$acl":{"$r":["ann"]},"$maxAge":"PT1H"}', '$maxAge', ['ann']],
  ['{"$acl":{"$r":["ann"]},"$tb":-1}', '$tb', ['ann']],
  ['{"$acl":{"$r":["ann"]},"$tb":99999999999999999999}', '$tb', ['ann']],
  ['{"$acl":{"$r":["ann"]},"$cacheControl":null}', '$cacheControl', ['ann']],
  ['{"$acl":{"$r":["ann"],"$w":7}}', '$acl.$w', ['ann']],
  ['{"$acl":{"$r":7}}', '$acl.$r', []],
  ['{"$acl":{"$r":null}}', '$acl.$r', []],
  ['{"$acl":{"$r":["ann",null]}}', '$acl.$r', []],
  ['{"$acl":"ann"}', '$acl', []],
  ['{"$acl":null}', '$acl', []],
  ['{"$acl":{"$R":["ann"]}}', '$acl.$R', []],
  ['{"$acl":{"read":["ann"]}}', '$acl.read', []],
  ['{"$acl":["ann"],"$maxCount":5}', '$acl', []],
  ['[]', undefined, []],
  ['[{"$acl":{"$r":["ann"]}}]', undefined, []],
  ['5', undefined, []],
  ['null', undefined, []],
  ['"{}"', undefined, []]
]

/** Accepted in the EventStoreDB dialect, and refused in the native form. */
const DIALECT_ONLY: typeof INVALID = [
  ['{"$acl":{"$r":["ann"]},"$acl":{"$r":["ann"]}}', '$acl', ['ann']],
  ['{"$acl":{"$r":["bob"],"$r":["ann"]}}', '$acl.$r', ['ann']],
  ['{"$maxCount":1,"$maxCount":9,"$acl":{"$r":["ann"]}}', '$maxCount', ['ann']],
  ['{"$acl":{"$r":["ann"],"own":1}}', '$acl.own', ['ann']]
]

/** Opens a server with a stream that only Ann may read. */
async function withProtected(t: Test) {
  const opened = await listen(t, { insecure: false, anonymous: true, directory: join(t.testdir({}), 'db') })
  const { app, store } = opened
  const people = { anonymous: {}, ann: await makeUser(store, 'ann'), bob: await makeUser(store, 'bob'), admin }
  await append(app, 'prot-1', { type: 'T' }, admin)
  await setRules(app, 'prot-1', { read: ['ann'] })
  return { ...opened, people }
}

type People = Record<string, Credentials | Record<string, never>>

/** Returns those of the given callers who may read the stream now. */
async function readersOf(app: FastifyInstance, people: People, stream = 'prot-1'): Promise<string[]> {
  const readers: string[] = []
  for (const [name, who] of Object.entries(people)) {
    const { statusCode } = await ask(app, `GET /streams/${stream}`, who)
    const { events } = (await ask(app, `GET /events?stream=${stream}`, who)).json()
    const may = statusCode === 200 || statusCode === 404
    if (may !== events.length > 0 && statusCode !== 404) readers.push(`${name}, but not in the log`)
    else if (may) readers.push(name)
  }
  return readers
}

const lineOf = (data: string, type = '$metadata') => `{"stream":"$$prot-1","type":"${type}","data":${data}}\n`

t.test('the native form refuses invalid metadata in every kind of request', async (t) => {
  const { app, store, people } = await withProtected(t)
  const { head } = store.log
  const big = JSON.stringify({ own: 'x'.repeat(limits.metadata_bytes_max) })
  for (const [data, member] of [...INVALID, ...DIALECT_ONLY, [big, undefined] as const]) {
    const what = data.slice(0, 100)
    for (const type of ['$metadata', 'Other']) {
      const before = '{"stream":"prot-1","type":"Before"}\n'
      const answer = await ask(app, 'POST /events', { ...LINES, ...admin }, before + lineOf(data, type))
      const { problem } = JSON.parse(answer.body.trim().split('\n').at(-1) as string)
      const wanted = { code: 'invalid-metadata', line: 2, stream: '$$prot-1', written: false, retry: false }
      t.match(problem, wanted, `${type}, as NDJSON: ${what}`)
      t.equal(problem.member, member, what)
    }
    const event = { stream: '$$prot-1', type: '$metadata', data: JSON.parse(data) }
    for (const [call, headers, body] of [
      ['POST /events', {}, { events: [event] }],
      ['POST /streams/$$prot-1', {}, { type: '$metadata', data: event.data }],
      ['POST /streams/$$prot-1', LINES, JSON.stringify({ type: '$metadata', data: event.data })],
      ['POST /streams/$$prot-1', { 'event-type': '$metadata' }, data]
    ] as const) {
      const answer = await ask(app, call, { ...headers, ...admin }, body)
      t.match(answer.json(), { status: 400, code: 'bad-stream-name' }, `${call}: ${what}`)
    }
  }
  for (const line of [
    '{"stream":"$$prot-1","type":"$metadata"}',
    '{"stream":"$$prot-1","type":"$streamDeleted"}',
    '{"stream":"$$prot-1","type":"$metadata","contentType":"text/plain","dataText":"{}"}'
  ]) {
    const answer = await ask(app, 'POST /events', { ...LINES, ...admin }, line)
    t.match(JSON.parse(answer.body), { problem: { code: 'invalid-metadata', line: 1 } }, line)
  }
  const own = (await ask(app, 'GET /streams/prot-1/metadata', admin)).json()
  t.match(own, { acl: { read: ['ann'] } }, 'the metadata is unchanged')
  t.equal((await store.states.of('prot-1')).version, 0)
  t.ok(store.log.head > head)
  t.same(await readersOf(app, people), ['ann', 'admin'])
})

t.test('natively, a duplicate member makes metadata invalid, in the document and in its access rule', async (t) => {
  const { app, store } = await openApp(t)
  for (const body of [
    '{"acl":{"read":"ann"},"acl":{}}',
    '{"acl":{"read":"ann","read":"$all"}}',
    '{"maxCount":1,"maxCount":2}',
    '{"truncateBefore":9223372036854775808}',
    '{"truncateBefore":9.3e18}'
  ]) {
    for (const method of ['PUT', 'PATCH']) {
      const answer = await ask(app, `${method} /streams/s/metadata`, {}, body)
      t.match(answer.json(), { status: 400, code: /malformed-json|invalid-metadata/ }, `${method} ${body}`)
    }
  }
  t.equal(store.log.head, -1)
  const last = await ask(app, 'PUT /streams/s/metadata', {}, '{"truncateBefore":9223372036854775807}')
  t.equal(last.statusCode, 201, '2^63-1 is accepted')
})

t.test(
  'the EventStoreDB dialect refuses invalid metadata at each of its addresses, but accepts duplicate members',
  async (t) => {
    const { app, store, people } = await withProtected(t)
    const requestsWith = (data: string): [call: string, headers: object, body: string][] => [
      ['POST /streams/prot-1/metadata', DIALECT, `[{"eventId":"${ID}","eventType":"$metadata","data":${data}}]`],
      ['POST /streams/prot-1/metadata', { 'es-eventid': ID }, data],
      ['POST /streams/$$prot-1', DIALECT, `[{"eventId":"${ID}","eventType":"Other","data":${data}}]`],
      ['POST /streams/$$prot-1', { 'es-eventid': ID, 'es-eventtype': '$metadata' }, data],
      [`POST /streams/$$prot-1/incoming/${ID}`, { 'es-eventtype': '$metadata' }, data]
    ]
    for (const [data] of INVALID) {
      for (const [call, headers, body] of requestsWith(data)) {
        // In a list of events a string that contains a JSON object counts as that object.
        if (data === '"{}"' && headers === DIALECT) continue
        const { head } = store.log
        const answer = await ask(app, call, { ...headers, ...admin }, body)
        t.match(
          [answer.statusCode, answer.body],
          [400, /whole number|JSON object|name of a user|would have no effect/],
          `${call}: ${data}`
        )
        t.equal(store.log.head, head)
      }
    }
    t.same(await readersOf(app, people), ['ann', 'admin'])
    for (const [data, , readers] of DIALECT_ONLY) {
      const [call, headers] = [
        'POST /streams/$$prot-1',
        { 'es-eventid': crypto.randomUUID(), 'es-eventtype': '$metadata' }
      ]
      t.equal((await ask(app, call, { ...headers, ...admin }, data)).statusCode, 201, data)
      t.same(await readersOf(app, people), [...readers, 'admin'], data)
    }
  }
)

t.test('an import stops at invalid metadata, and names the line', async (t) => {
  const { app, url, directory, people } = await withProtected(t)
  const file = join(directory, '..', 'lines.ndjson')
  writeFileSync(file, `{"stream":"other","type":"T"}\n${lineOf('{"$acl":{"$r":["ann"]},"$maxCount":0}')}`)
  const expected = /Line 2: "\$maxCount" must be a whole number from 1/
  const env = { DAYBOOK_PASSWORD: 'changeit' }
  t.match(await daybook(['import', file, '--url', url, '--user', 'admin'], { env }), { code: 1, stderr: expected })
  t.same(await readersOf(app, people), ['ann', 'admin'])
  await app.close()
  t.match(await daybook(['import', file, '--db', directory]), { code: 1, stderr: expected })
  const again = await openApp(t, { insecure: false, anonymous: true, directory })
  t.same(await readersOf(again.app, people), ['ann', 'admin'])
})

const CLOSED = { read: [], write: [], delete: [], metadataRead: [], metadataWrite: [] }

/** Writes a log that another server may have left: a stream, and metadata that no request can write. */
async function logWith(t: Test, name: string, metadata: object): Promise<string> {
  const directory = join(t.testdir({ [name]: {} }), name, 'db')
  const store = await new Store({ directory }).open()
  const at = (position: number) => ({ position, created: '2026-01-01T00:00:00.000Z' })
  const lines = [
    { stream: 'prot-1', type: 'T', number: 0, ...at(0) },
    { stream: '$$prot-1', number: 0, type: '$metadata', data: { $acl: { $r: ['ann'] } }, ...at(1) },
    { stream: '$$prot-1', number: 1, type: '$metadata', ...metadata, ...at(2) }
  ]
  const text = lines.map((line) => Buffer.from(JSON.stringify(line, (_, value) => value)))
  await importAsLog(store, (async function* () { yield* text })(), 10, async () => {}) // biome-ignore format: one line
  await store.close()
  return directory
}

t.test('if a log holds invalid metadata, only the users that it names may read the stream', async (t) => {
  const rows: [name: string, metadata: object, readers: string[]][] = [
    ...[...INVALID].map(([data, , readers]): [string, object, string[]] => [data, { data: JSON.parse(data) }, readers]),
    ['no data', {}, []],
    ['text', { contentType: 'text/plain', dataText: '{}' }, []],
    ['a tombstone', { type: '$streamDeleted' }, []],
    ['another type', { type: 'Other', data: { $acl: { $r: ['ann'] }, $maxCount: 0 } }, ['ann']]
  ]
  for (const [i, [what, metadata, named]] of rows.entries()) {
    const directory = await logWith(t, `log-${i}`, metadata)
    const readers = [...named, 'admin']
    const first = await openApp(t, { insecure: false, anonymous: true, directory })
    const ann = await makeUser(first.store, 'ann')
    const people = { anonymous: {}, ann, bob: await makeUser(first.store, 'bob'), admin }
    t.same(await readersOf(first.app, people), readers, what)
    if (named.length === 0) {
      for (const who of [people.anonymous, ann]) {
        for (const call of ['PUT', 'PATCH']) {
          const { statusCode } = await ask(first.app, `${call} /streams/prot-1/metadata`, who, {})
          t.match(String(statusCode), /^40[13]$/, `${what}: ${call} does not lift it`)
        }
        t.match(String((await append(first.app, 'prot-1', { type: 'T' }, who)).statusCode), /^40[13]$/, what)
      }
    }
    const shown = (await ask(first.app, 'GET /streams/prot-1/metadata', admin)).json()
    t.same(shown.acl?.read, named, `${what}: it is shown as it is applied`)
    await ask(first.app, 'DELETE /streams/prot-1', admin)
    t.notOk((await readersOf(first.app, people)).includes('bob'), `${what}: deleted`)
    t.equal((await append(first.app, 'prot-1', { type: 'T' }, admin)).statusCode, 201)
    t.same(await readersOf(first.app, people), readers, `${what}: revived`)
    await first.app.close()
    const second = await openApp(t, { insecure: false, anonymous: true, directory })
    t.same(await readersOf(second.app, people), readers, `${what}: after a restart`)
    await second.app.close()
  }
})

t.test('a patch of invalid metadata grants no access, and the document that GET shows can be put back', async (t) => {
  for (const [i, [metadata, repaired]] of [
    [{ data: [] }, CLOSED],
    [{}, CLOSED],
    [{ data: { $acl: { $r: 7, $w: 'käthe' }, $maxCount: 0, own: 1 } }, undefined]
  ].entries()) {
    const { app } = await openApp(t, { directory: await logWith(t, `log-${i}`, metadata as object) })
    const url = '/streams/prot-1/metadata'
    const patched = await ask(app, `PATCH ${url}`, {}, { cacheControl: 5 })
    if (repaired === undefined) t.match(patched.json(), { status: 400, code: 'invalid-metadata' })
    else t.same((await ask(app, `GET ${url}`)).json(), { acl: repaired, cacheControl: 5 })
    const shown = (await ask(app, `GET ${url}`)).json()
    if (repaired === undefined) t.same(shown, { acl: { ...CLOSED, write: 'käthe' }, own: 1 })
    t.equal((await ask(app, `PUT ${url}`, {}, shown)).statusCode, 200)
    t.match((await ask(app, `GET ${url}`)).json(), shown)
    await app.close()
  }
})

t.test('invalid settings in a log give access only to the users that they name', async (t) => {
  for (const [i, [data, mayRead]] of (
    [
      [{ $userStreamAcl: { $r: 'ann', $w: 7 } }, ['ann', 'admin']],
      [{ $userStreamAcl: { $r: 7 } }, ['admin']],
      [{ $userStreamACL: { $r: 'ann' } }, ['admin']],
      [[], ['admin']],
      [undefined, ['admin']],
      [{}, ['anonymous', 'ann', 'bob', 'admin']]
    ] as const
  ).entries()) {
    const metadata = { stream: '$settings', number: 0, type: '$settings', data }
    const directory = await logWith(t, `log-${i}`, metadata)
    const { app, store } = await openApp(t, { insecure: false, anonymous: true, directory })
    const people = { anonymous: {}, ann: await makeUser(store, 'ann'), bob: await makeUser(store, 'bob'), admin }
    await append(app, 'plain', { type: 'T' }, admin)
    t.same(await readersOf(app, people, 'plain'), mayRead, JSON.stringify(data))
    await app.close()
  }
})

t.test('a tombstone in an import needs the right to delete the stream, and is recorded in the audit', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  for (const stream of ['s', 'u']) await append(app, stream, { type: 'T' }, admin)
  for (const stream of ['s', 'u']) await setRules(app, stream, { write: ['ann', 'bob'], delete: 'ann' })
  const end = (stream: string, who: object) =>
    ask(app, 'POST /events', { ...LINES, ...who }, `${JSON.stringify({ stream, type: '$streamDeleted' })}\n`)
  const { text } = await makeToken(store, 'bob', { write: ['*'] })
  for (const who of [bob, bearer(text)]) {
    t.match(JSON.parse((await end('s', who)).body), { problem: { code: 'not-permitted', line: 1, action: 'delete' } })
  }
  t.equal((await append(app, 's', { type: 'T' }, bob)).statusCode, 201, 'the stream is not deleted')
  t.match(JSON.parse((await end('s', ann)).body), { receipt: { appended: 1 } })
  t.equal((await append(app, 's', { type: 'T' }, bob)).statusCode, 410)
  const { events } = (await ask(app, 'GET /streams/$audit?type=StreamDeleted', admin)).json()
  t.match(events, [{ data: { who: 'ann', stream: 's', permanent: true } }])
})
