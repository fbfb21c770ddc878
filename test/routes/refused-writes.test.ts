/** What a refused write is told: whether it was done, whether to retry it, and where its body is wrong. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { outcomeOf } from '../../routes/wire/problems/outcome.js'
import { problemKinds } from '../../routes/wire/problems/problem.js'
import { explainFault, sentences } from '../../routes/wire/problems/shape-faults.js'
import { errorCodes } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { append, ask, openApp } from '../helpers/app.js'
import { admin, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'
import { compiledScript, root } from '../helpers/project.js'
import { listenRaw } from '../helpers/raw.js'

/** A call, its body and headers, and the expected code. */
type Row = readonly [call: string, body: unknown, headers: Record<string, string>, code: string]

const EVENT = { type: 'T' }
const ID = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
const SEVERAL = { events: [{ stream: 's', type: 'T' }] }

t.test('every refused write says whether it was done, and whether to retry it', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T', id: ID }, admin)
  await append(app, 'secret', EVENT, admin)
  await setRules(app, 'secret', { read: ['admin'], write: ['admin'] })
  await append(app, 'gone', EVENT, admin)
  await ask(app, 'DELETE /streams/gone?permanent=true', admin)
  await append(app, 'keyed', EVENT, { ...admin, 'idempotency-key': 'k' })
  const reader = bearer((await makeToken(store, 'ann', { read: ['*'] })).text)
  const rows: Row[] = [
    ['POST /streams/s', EVENT, { authorization: 'Basic eHh4Onh4eA==' }, 'wrong-credentials'],
    ['POST /streams/secret', EVENT, {}, 'sign-in-required'],
    ['POST /streams/secret', EVENT, ann, 'not-permitted'],
    ['POST /streams/s', EVENT, reader, 'not-permitted'],
    ['POST /events', { events: [{ stream: 'secret', type: 'T' }] }, ann, 'not-permitted'],
    ['DELETE /streams/secret', undefined, ann, 'not-permitted'],
    ['PUT /streams/secret/metadata', {}, ann, 'not-permitted'],
    ['POST /streams/s', EVENT, { origin: 'https://elsewhere.example' }, 'origin-refused'],
    ['POST /stream/s', EVENT, ann, 'not-found'],
    ['POST /streams', EVENT, ann, 'not-found'],
    ['PUT /streams/s', EVENT, ann, 'method-not-allowed'],
    ['DELETE /events', undefined, ann, 'method-not-allowed'],
    ['POST /streams/s?bach=1', EVENT, ann, 'unknown-parameter'],
    ['POST /events?batch=x', EVENT, ann, 'bad-parameter'],
    ['POST /streams/$all', EVENT, admin, 'bad-stream-name'],
    ['POST /streams/s', '', ann, 'invalid-event'],
    ['POST /streams/s', '{"type":', ann, 'malformed-json'],
    ['POST /streams/s', [], ann, 'empty-batch'],
    ['POST /streams/s', { type: '' }, ann, 'invalid-event'],
    ['POST /streams/s', { type: 'T', tags: ['\u0007'] }, ann, 'bad-tag'],
    [
      'POST /streams/s',
      [
        { type: 'A', id: ID },
        { type: 'B', id: ID }
      ],
      ann,
      'bad-event-id'
    ],
    ['POST /streams/s', { type: 'T', data: 'x'.repeat(limits.event_bytes_max) }, ann, 'event-too-large'],
    ['POST /streams/s', Array.from({ length: limits.batch_events_max + 1 }, () => EVENT), ann, 'batch-too-large'],
    ['POST /streams/s', EVENT, { ...ann, 'content-type': 'image/png' }, 'unsupported-media-type'],
    ['POST /events', EVENT, { ...ann, 'content-type': 'text/plain' }, 'unsupported-media-type'],
    ['POST /streams/s', EVENT, { ...ann, 'content-encoding': 'lzma' }, 'unsupported-media-type'],
    ['POST /streams/s', EVENT, { ...ann, 'content-encoding': 'gzip' }, 'bad-encoding'],
    ['POST /streams/s', 'x', { ...ann, 'content-type': 'application/xml' }, 'missing-event-type'],
    ['POST /streams/s', EVENT, { ...ann, 'if-match': '7' }, 'bad-condition'],
    ['POST /streams/s', EVENT, { ...ann, 'if-match': '"7"' }, 'wrong-expected-version'],
    ['POST /streams/s', EVENT, { ...ann, 'idempotency-key': '' }, 'bad-header'],
    ['POST /streams/s', EVENT, { ...ann, 'daybook-log': 'x', 'if-match': '"0"' }, 'bad-header'],
    ['POST /streams/s', { type: 'Other', id: ID }, ann, 'event-id-reused'],
    [
      'POST /streams/s',
      [
        { type: 'T', id: ID },
        { type: 'U', id: ID.replace('5c', '5d') }
      ],
      ann,
      'partial-replay'
    ],
    ['POST /streams/keyed', { type: 'Other' }, { ...ann, 'idempotency-key': 'k' }, 'idempotency-key-reused'],
    ['POST /streams/gone', EVENT, ann, 'stream-deleted'],
    ['POST /events', {}, ann, 'empty-batch'],
    ['POST /events', [], ann, 'invalid-body'],
    ['POST /events', { ...SEVERAL, conditions: [{ stream: 's', head: -1 }] }, ann, 'bad-condition'],
    ['POST /events', { ...SEVERAL, conditions: [{ stream: 's', head: 'none' }] }, ann, 'wrong-expected-version'],
    [
      'POST /events',
      { ...SEVERAL, conditions: [{ failIfEventsMatch: { items: [{ types: ['T'] }] } }] },
      ann,
      'events-match'
    ],
    [
      'POST /events',
      { ...SEVERAL, conditions: [{ failIfEventsMatch: { items: [{ types: ['T'] }] }, after: 999 }] },
      ann,
      'cursor-beyond-head'
    ],
    ['DELETE /streams/gone', undefined, ann, 'stream-deleted'],
    ['DELETE /streams/s', undefined, { ...ann, 'if-match': '"7"' }, 'wrong-expected-version'],
    ['DELETE /streams/s?permanent=maybe', undefined, ann, 'bad-parameter'],
    ['PUT /streams/s/metadata', '{"maxCount":', ann, 'malformed-json'],
    ['PUT /streams/s/metadata', { maxCount: 0 }, ann, 'invalid-metadata'],
    ['PUT /streams/s/metadata', {}, { ...ann, 'content-type': 'text/plain' }, 'unsupported-media-type'],
    ['PATCH /streams/$$s/metadata', {}, admin, 'bad-stream-name'],
    ['PUT /consumers/c', {}, ann, 'invalid-body'],
    ['POST /consumers/none/ack', { cursor: '0', generation: 0 }, ann, 'consumer-not-found'],
    ['POST /tokens', { name: '' }, ann, 'invalid-body'],
    ['POST /users', { loginName: 1 }, admin, 'invalid-body']
  ]
  for (const [call, body, headers, code] of rows) {
    const head = store.log.head
    const typed = { accept: '*/*', 'content-type': 'application/json', ...headers }
    const answer = await ask(app, call, typed, body)
    const problem = answer.json()
    t.match(problem, { code, written: false, retry: false, detail: /./ }, `${call}: ${code}`)
    t.match(problem, { status: answer.statusCode }, call)
    // An audit of earlier requests may be written meanwhile.
    const positions = Array.from({ length: store.log.head - head }, (_, i) => head + 1 + i)
    const written = (await store.log.readMany(positions)).map(({ stream }) => stream)
    t.same(
      written.filter((stream) => stream !== '$audit'),
      [],
      `${call}: nothing was written`
    )
  }
})

t.test('a write that the server cannot accept at the moment says that it may be retried', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 's', EVENT)
  await store.close()
  for (const call of ['POST /streams/s', 'DELETE /streams/s', 'PUT /streams/s/metadata', 'POST /events']) {
    const body = call.startsWith('DELETE') ? undefined : EVENT
    t.match((await ask(app, call, {}, body)).json(), { status: 503, written: false, retry: true }, call)
  }
  const load = { connections: 100, connectionsPerAddress: 0, requestsPerSecond: 1, requestsInFlight: 100 }
  const limited = await openApp(t, { load, directory: t.testdir({ limited: {} }) })
  const answers = []
  for (let i = 0; i < 5; i++) answers.push((await append(limited.app, 's', EVENT, { accept: '*/*' })).json())
  t.match(
    answers.find(({ status }) => status === 429),
    { code: 'too-many-requests', written: false, retry: true }
  )
})

t.test('a write that is refused before it reaches its route also says that it was not done', async (t) => {
  const { raw, app } = await listenRaw(t, { hosts: [] })
  const post = 'POST /streams/s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n'
  const rows: [string, number, object][] = [
    [`${post}X-Long: ${'x'.repeat(100_000)}\r\n\r\n`, 431, { code: 'headers-too-large' }],
    [`${post}Content-Length: 40000000\r\n\r\n`, 413, { code: 'body-too-large' }],
    [`${post}Content-Length: x\r\n\r\n`, 400, { code: 'bad-request' }],
    [`${post}Expect: cake\r\nContent-Length: 2\r\n\r\n`, 417, { code: 'expectation-failed' }],
    [`${post.replace('127.0.0.1', 'evil.example')}Content-Length: 2\r\n\r\n{}`, 421, { code: 'host-refused' }]
  ]
  for (const [bytes, status, problem] of rows) {
    const answer = await raw(bytes)
    t.equal(answer.status, status, `${bytes.slice(0, 30)}: ${answer.text.slice(0, 200)}`)
    t.match(answer.json(), { ...problem, written: false, retry: false }, `${status}`)
  }
  t.equal((await ask(app, 'GET /streams/s')).statusCode, 404, 'nothing was written')
})

t.test('every code says that the write was not done, or "unknown" if the status is 500', async (t) => {
  for (const code of errorCodes) {
    const { status } = problemKinds[code]
    const wanted = status === 500 ? { written: 'unknown', retry: true } : { written: false }
    t.match(outcomeOf(code), wanted, code)
  }
})

t.test('the pointer of a problem is the whole path to the fault, in every kind of body', async (t) => {
  const { app } = await openApp(t)
  const long = 'x'.repeat(300)
  const faulty: [object, string][] = [
    [{ type: 'T', tags: [1] }, '/tags/0'],
    [{ type: 'T', tags: ['a', ''] }, '/tags/1'],
    [{ type: 'T', tags: ['a', 'b', '\u0000'] }, '/tags/2'],
    [{ type: 'T', tags: ['a', 'a'] }, '/tags'],
    [{ type: 'T', tags: 'a' }, '/tags'],
    [{ type: '' }, '/type'],
    [{ type: 7 }, '/type'],
    [{ type: long }, '/type'],
    [{ type: '\u0000' }, '/type'],
    [{ data: 1 }, '/type'],
    [{ type: 'T', id: 'x' }, '/id'],
    [{ type: 'T', occurred: 'x' }, '/occurred'],
    [{ type: 'T', 'da/ta~': 1 }, '/da~1ta~0'],
    [{ type: '$streamDeleted' }, '/type']
  ]
  const at = (event: object) => ({ stream: 's', ...event })
  const good = { type: 'T' }
  for (const [event, pointer] of faulty) {
    const label = JSON.stringify(event).slice(0, 60)
    await expectRefusal(t, app, 'POST /streams/s', event, { pointer }, label)
    await expectRefusal(t, app, 'POST /streams/s', [good, event], { pointer: `/1${pointer}`, index: 1 }, `[${label}]`)
    const lines = [good, event].map((one) => JSON.stringify(one)).join('\n\n')
    const ndjson = { 'content-type': 'application/x-ndjson' }
    await expectRefusal(t, app, 'POST /streams/s', lines, { pointer, line: 3 }, `lines with ${label}`, ndjson)
    const events = [good, good, good, event].map(at)
    await expectRefusal(t, app, 'POST /events', { events }, { pointer: `/events/3${pointer}` }, `/events with ${label}`)
  }
  const streamed = [at(good), at({ type: 'T', tags: [1] })].map((one) => JSON.stringify(one)).join('\n')
  const written = await ask(app, 'POST /events', { 'content-type': 'application/x-ndjson' }, streamed)
  const { problem } = JSON.parse(written.body.trimEnd().split('\n').at(-1) as string)
  t.match(problem, { line: 2, pointer: '/tags/0', written: false, retry: false }, 'a streamed write')
  await expectRefusal(t, app, 'POST /streams/s', [good, 1], { pointer: '/1' })
  await expectRefusal(t, app, 'POST /streams/s', 7, { pointer: '' })
  await expectRefusal(t, app, 'POST /events', { events: [{ type: 'T' }] }, { pointer: '/events/0/stream' })
  await expectRefusal(t, app, 'POST /events', { events: [{ type: 'T', stream: '.' }] }, { pointer: '/events/0/stream' })
  await expectRefusal(t, app, 'POST /events', { events: 1 }, { pointer: '/events' })
  await expectRefusal(t, app, 'POST /events', { event: 1 }, { pointer: '/event' })
  const twice = [good, { type: 'T', id: ID }, { type: 'U', id: ID }]
  await expectRefusal(t, app, 'POST /streams/s', twice, { pointer: '/2/id' })
  await expectRefusal(t, app, 'POST /events', { events: twice.map(at) }, { pointer: '/events/2/id' })
  const lines = `\n${twice.map((one) => JSON.stringify(one)).join('\n\n')}`
  await expectRefusal(t, app, 'POST /streams/s', lines, { line: 6, pointer: '/id' }, 'lines', {
    'content-type': 'application/x-ndjson'
  })
  const conditions: [object, string][] = [
    [{ stream: 's', head: -1 }, '/head'],
    [{ stream: 's' }, '/head'],
    [{ stream: '.', head: 1 }, '/stream'],
    [{ stream: 's', head: 1, hed: 1 }, '/hed'],
    [{ failIfEventsMatch: { items: [{ types: ['A'] }, { tags: [''] }] } }, '/failIfEventsMatch/items/1/tags/0'],
    [{ failIfEventsMatch: { items: [{ types: [] }] } }, '/failIfEventsMatch/items/0'],
    [{ failIfEventsMatch: { items: [{ types: ['A'] }] }, after: -2 }, '/after']
  ]
  for (const [condition, pointer] of conditions) {
    const body = { ...SEVERAL, conditions: [{ stream: 'x', head: 'none' }, condition] }
    const wanted = { pointer: `/conditions/1${pointer}`, condition: 1 }
    await expectRefusal(t, app, 'POST /events', body, wanted, JSON.stringify(condition))
  }
  const others: [string, object, string][] = [
    ['PUT /streams/s/metadata', { maxCount: 0 }, '/maxCount'],
    ['PUT /streams/s/metadata', { maxAge: 'P1M' }, '/maxAge'],
    ['PUT /streams/s/metadata', { acl: { read: 1 } }, '/acl/read'],
    ['PUT /streams/s/metadata', { acl: { reed: 'ann' } }, '/acl/reed'],
    ['PATCH /streams/s/metadata', { truncateBefore: -1 }, '/truncateBefore'],
    ['PUT /streams/$audit/metadata', { maxCount: 1 }, '/maxCount'],
    ['PUT /consumers/c', {}, '/source'],
    ['PUT /consumers/c', { source: '/events', bufferSize: 0 }, '/bufferSize'],
    ['PUT /consumers/c', { source: '/events?typ=a' }, '/source'],
    ['PUT /consumers/c', { source: '/events', expiresAfter: 'PT0S' }, '/expiresAfter'],
    ['POST /users', { loginName: 'ann', password: '' }, '/password'],
    ['POST /users', { loginName: 'ann', password: 'x', groups: [1] }, '/groups'],
    ['POST /tickets', { source: '/events', seconds: 0 }, '/seconds'],
    ['POST /tokens', { name: 'x', read: ['a', '*b*'] }, '/read/1']
  ]
  for (const [call, body, pointer] of others) await expectRefusal(t, app, call, body, { pointer })
})

t.test(
  'EventStoreDB’s numbers for expected versions (-1, -2, -4) get an error that says what to use here',
  async (t) => {
    const { app } = await openApp(t)
    for (const [head, says] of [
      [-1, /or "exists", not -1\. EventStoreDB's -1 is "none" here/],
      [-4, /or "exists", not -4\. EventStoreDB's -4 is "exists" here/],
      [-2, /or "exists", not -2\. For EventStoreDB's -2 \(any version\) leave the condition out/],
      ['7', /not "7"\.$/]
    ] as const) {
      const body = { ...SEVERAL, conditions: [{ stream: 's', head }] }
      await expectRefusal(t, app, 'POST /events', body, { code: 'bad-condition', detail: says })
    }
  }
)

async function expectRefusal(
  t: Test,
  app: FastifyInstance,
  call: string,
  body: unknown,
  wanted: object,
  label = '',
  headers: Record<string, string> = {}
): Promise<void> {
  const answer = await ask(app, call, headers, body === 7 ? '7' : body)
  t.match(answer.json(), { written: false, ...wanted }, `${call} ${label}`)
}

/** Keywords that cannot refuse a value by themselves. */
const HARMLESS = new Set(
  'description,examples,default,$id,$ref,items,properties,patternProperties,title,secret,$defs'.split(',')
)

t.test(
  'every schema keyword that can refuse a value has a sentence, and no text of the validator reaches a client',
  async (t) => {
    const schemas = await allSchemas()
    t.ok(schemas.length > 40, `${schemas.length} schemas were found`)
    for (const [name, schema] of schemas) {
      for (const part of partsOf(schema)) {
        for (const keyword of Object.keys(part)) {
          if (!HARMLESS.has(keyword)) t.ok(keyword in sentences, `"${keyword}" of ${name} has a sentence`)
        }
        const isAsked = !name.startsWith('schemas/atom.ts') // feeds are answers only
        if (isAsked && 'pattern' in part)
          t.ok('examples' in part, `a pattern of ${name} has an example: ${part.pattern}`)
      }
    }
    const unknown = { keyword: 'dependencies', params: {}, instancePath: '/a', schemaPath: '', message: 'must NOT' }
    t.notMatch(explainFault([unknown], { known: [] }).why, /must/)
  }
)

/** Returns all exported schemas, except those of command-line flags: these are not requests. */
async function allSchemas(): Promise<[string, object][]> {
  const found: [string, object][] = []
  for (const room of ['schemas', 'schemas/accounts']) {
    for (const file of readdirSync(join(root, room))) {
      if (!file.endsWith('.ts') || file === 'settings.ts') continue
      const exported = (await import(compiledScript(join(room, file)))) as Record<string, unknown>
      for (const [name, value] of Object.entries(exported)) {
        const isSchema = typeof value === 'object' && value !== null && ('type' in value || 'anyOf' in value)
        if (isSchema) found.push([`${room}/${file} ${name}`, value])
      }
    }
  }
  return found
}

/** Yields a schema and every schema inside it. */
function* partsOf(schema: unknown): Generator<Record<string, unknown>> {
  if (Array.isArray(schema)) for (const one of schema) yield* partsOf(one)
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return
  const part = schema as Record<string, unknown>
  yield part
  for (const name of ['properties', 'patternProperties']) {
    for (const one of Object.values((part[name] ?? {}) as object)) yield* partsOf(one)
  }
  for (const name of ['items', 'anyOf', 'allOf', 'oneOf', 'not', 'additionalProperties']) yield* partsOf(part[name])
}
