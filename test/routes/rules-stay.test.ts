/**
 * An access rule applies until an account with the right to do so changes it. A delete, a partial rule or
 * invalid settings do not lift it.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import { append, ask, openApp } from '../helpers/app.js'
import { admin, makeUser } from '../helpers/people.js'

const HIDDEN = 'xyzzy'
const ATOM = { accept: 'application/vnd.eventstore.atom+json' }

type Credentials = Record<string, string>

/** Opens a server with a stream that only Ann may use. */
async function withAnn(t: Test): Promise<{ app: FastifyInstance; store: Store; ann: Credentials; bob: Credentials }> {
  const { app, store } = await openApp(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await append(app, 'anns-1', [{ type: 'T', data: HIDDEN }, { type: 'T', data: HIDDEN }], ann) // biome-ignore format: a list
  const acl = { read: 'ann', write: 'ann', delete: 'ann', metadataRead: 'ann', metadataWrite: 'ann' }
  t.equal((await ask(app, 'PUT /streams/anns-1/metadata', ann, { acl })).statusCode, 201)
  return { app, store, ann, bob }
}

const dialect = { 'content-type': 'application/vnd.eventstore.events+json' }
const eventOf = (type: string, data: unknown) => [
  { eventId: '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11', eventType: type, data }
]

/** Requests that lift a rule or bypass it. */
const ATTEMPTS: [call: string, headers: Credentials, body?: unknown][] = [
  ['PUT /streams/anns-1/metadata', {}, {}],
  ['PUT /streams/anns-1/metadata', {}, { acl: { read: 'bob', write: 'bob', metadataWrite: 'bob' } }],
  ['PATCH /streams/anns-1/metadata', {}, { acl: null }],
  ['PATCH /streams/anns-1/metadata', {}, { truncateBefore: 0 }],
  ['POST /streams/anns-1/metadata', dialect, eventOf('$metadata', {})],
  [
    'POST /streams/anns-1/metadata',
    { 'es-eventtype': '$metadata', 'es-eventid': '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11' },
    {}
  ],
  ['POST /streams/$$anns-1', dialect, eventOf('$metadata', {})],
  ['POST /streams/anns-1', {}, { type: 'T' }],
  ['POST /streams/anns-1', dialect, eventOf('T', 1)],
  ['POST /events', {}, { events: [{ stream: 'anns-1', type: 'T' }] }],
  ['DELETE /streams/anns-1', {}],
  ['DELETE /streams/anns-1?permanent=true', {}],
  ['DELETE /streams/anns-1', { 'es-harddelete': 'true' }],
  ['GET /streams/anns-1', {}],
  ['GET /streams/anns-1/0', {}],
  ['GET /streams/anns-1/metadata', {}],
  ['GET /streams/anns-1/metadata', ATOM],
  ['GET /streams/anns-1', ATOM],
  ['GET /streams/anns-1/0/forward/20', ATOM],
  ['GET /streams/$$anns-1', ATOM]
]

async function expectClosedTo(
  t: Test,
  { app, store }: { app: FastifyInstance; store: Store },
  who: Credentials,
  when: string
) {
  for (const [call, headers, body] of ATTEMPTS) {
    const { head } = store.log
    const answer = await ask(app, call, { ...headers, ...who }, body)
    // The dialect refuses with 401 only.
    t.match(String(answer.statusCode), /^40[13]$/, `${when}: ${call} ${JSON.stringify(headers)}`)
    t.equal(store.log.head, head, `${when}: ${call} writes nothing`)
  }
  for (const url of [
    '/events',
    '/events?truncated=true&system=true',
    '/streams/$et-T',
    '/streams/$ce-anns',
    '/events?category=anns'
  ]) {
    for (const headers of [{}, ATOM]) {
      const { body } = await ask(app, `GET ${url}`, { ...headers, ...who })
      t.notMatch(body, HIDDEN, `${when}: ${url}`)
    }
  }
}

for (const [name, headers] of [
  ['natively', {}],
  ['in the dialect', ATOM]
] as [string, Credentials][]) {
  t.test(`a stream that was deleted ${name} keeps its rules, also when it is revived`, async (t) => {
    const opened = await withAnn(t)
    const { app, ann, bob } = opened
    await expectClosedTo(t, opened, bob, 'before')
    t.equal((await ask(app, 'DELETE /streams/anns-1', { ...headers, ...ann })).statusCode, 204)
    await expectClosedTo(t, opened, bob, 'deleted')
    t.equal((await append(app, 'anns-1', { type: 'T', data: HIDDEN }, ann)).statusCode, 201, 'its owner revives it')
    await expectClosedTo(t, opened, bob, 'revived')
    const { events } = (await ask(app, 'GET /streams/anns-1', ann)).json()
    t.match(events, [{ number: 2 }], 'deleted events stay hidden')
    const acl = { read: 'ann', write: 'ann', delete: 'ann', metadataRead: 'ann', metadataWrite: 'ann' }
    t.match((await ask(app, 'GET /streams/anns-1/metadata', ann)).json(), { acl, truncateBefore: 2 })
  })
}

t.test(
  'when the owner of a deleted stream puts its metadata, it stays closed to others, and deleted events stay hidden',
  async (t) => {
    const opened = await withAnn(t)
    const { app, ann, bob } = opened
    await ask(app, 'DELETE /streams/anns-1', ann)
    const acl = { read: 'ann', write: 'ann', delete: 'ann', metadataRead: 'ann', metadataWrite: 'ann' }
    t.equal((await ask(app, 'PUT /streams/anns-1/metadata', ann, { acl })).statusCode, 200)
    await expectClosedTo(t, opened, bob, 'shown again')
    t.notMatch(
      (await ask(app, 'GET /streams/anns-1', ann)).body,
      HIDDEN,
      'deleted events stay hidden, also from the owner'
    )
    t.match((await ask(app, 'GET /streams/anns-1/metadata', ann)).json(), { acl, truncateBefore: 2 })
  }
)

t.test('a rule without metadataWrite or delete is completed; rights that it names stay as written', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const rows: [what: string, acl: object, kept: object][] = [
    ['the readers', { read: 'ann' }, { read: 'ann', delete: 'ann', metadataWrite: 'ann' }],
    ['several readers', { read: ['ann', 'sales'] }, { delete: ['ann', 'sales'], metadataWrite: ['ann', 'sales'] }],
    ['the writers', { write: 'ann' }, { write: 'ann', delete: 'ann', metadataWrite: 'ann' }],
    ['the writers before the readers', { read: 'sales', write: 'ann' }, { delete: 'ann', metadataWrite: 'ann' }],
    ['the readers, if everybody may write', { read: 'ann', write: '$all' }, { write: '$all', delete: 'ann', metadataWrite: 'ann' }],
    ['administrators, if everybody may read and write', { read: '$all', write: ['$all', 'ann'], metadataRead: 'ann' }, { delete: [], metadataWrite: [] }],
    ['nobody, if the rule excludes nobody', { read: '$all', write: ['$all', 'ann'] }, { read: '$all', write: ['$all', 'ann'] }],
    ['administrators, if nobody may read', { read: [] }, { read: [], delete: [], metadataWrite: [] }],
    ['administrators, if only reading of the metadata is named', { metadataRead: 'ann' }, { delete: [], metadataWrite: [] }],
    ['an empty rule stays empty', {}, {}],
    ['named rights stay', { read: 'ann', delete: '$all', metadataWrite: '$all' }, { read: 'ann', delete: '$all', metadataWrite: '$all' }],
    ['a named right stays', { read: 'ann', delete: 'bob' }, { delete: 'bob', metadataWrite: 'ann' }]
  ] // biome-ignore format: a table
  for (const [i, [what, acl, kept]] of rows.entries()) {
    for (const method of ['PUT', 'PATCH']) {
      const url = `/streams/${method}-${i}/metadata`
      t.equal((await ask(app, `${method} ${url}`, admin, { maxCount: 9, acl })).statusCode, 201, what)
      const now = (await ask(app, `GET ${url}`, admin)).json()
      t.same(now, { maxCount: 9, acl: { ...acl, ...kept } }, `${method}: ${what}`)
    }
  }
})

t.test('a patch of another member leaves a rule as it is; a patch of the rule completes it', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const acl = { $acl: { $r: 'ann' } }
  const written = await ask(app, 'POST /streams/s/metadata', { ...dialect, ...admin }, eventOf('$metadata', acl))
  t.equal(written.statusCode, 201)
  const rule = async () => (await ask(app, 'GET /streams/s/metadata', admin)).json()
  t.same(await rule(), { acl: { read: 'ann' } }, 'the dialect stores rules as they are written')
  await ask(app, 'PATCH /streams/s/metadata', admin, { maxCount: 5 })
  t.same(await rule(), { acl: { read: 'ann' }, maxCount: 5 })
  await ask(app, 'PATCH /streams/s/metadata', admin, { acl: { write: 'bob' } })
  t.same(await rule(), { acl: { read: 'ann', write: 'bob', delete: 'bob', metadataWrite: 'bob' }, maxCount: 5 })
  await ask(app, 'PATCH /streams/s/metadata', admin, { acl: { metadataWrite: null } })
  t.match(await rule(), { acl: { metadataWrite: 'bob' } }, 'a patch cannot remove it alone')
  await ask(app, 'PATCH /streams/s/metadata', admin, { acl: null })
  t.same(await rule(), { maxCount: 5 }, 'a rule can be removed as a whole')
})

t.test('an account that a rule does not name cannot lift it', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const bob = await makeUser(store, 'bob')
  for (const acl of [
    { read: 'ann' },
    { write: 'ann' },
    { read: [] },
    { read: '$all', write: 'ann' },
    { read: '$all', delete: 'ann' }
  ]) {
    const stream = `s-${JSON.stringify(acl).replaceAll(/\W/g, '')}`
    await append(app, stream, { type: 'T' }, admin)
    await ask(app, `PUT /streams/${stream}/metadata`, admin, { acl })
    for (const who of [bob, {}]) {
      for (const [call, headers, body] of [
        [`PUT /streams/${stream}/metadata`, {}, {}],
        [`PATCH /streams/${stream}/metadata`, {}, { acl: null }],
        [`POST /streams/${stream}/metadata`, dialect, eventOf('$metadata', {})],
        [`DELETE /streams/${stream}`, {}, undefined],
        [`DELETE /streams/${stream}?permanent=true`, {}, undefined]
      ] as [string, Credentials, unknown][]) {
        const { statusCode } = await ask(app, call, { ...headers, ...who }, body)
        t.match(String(statusCode), /^40[13]$/, `${JSON.stringify(acl)}: ${call}`)
      }
    }
  }
})

t.test('invalid settings are refused in every form, and the last valid settings still apply', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await append(app, '$settings', { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } }, admin)
  const nonsense = [[], 5, null, 'text', { $userStreamAcl: [] }, { $userStreamAcl: null }, { $userStreamAcl: { $r: {} } },
    { $userStreamAcl: { $x: 'bob' } }, { $systemStreamAcl: { $r: [7] } }, { $userStreamACL: {} }] // biome-ignore format: a list
  const plain = {
    'content-type': 'application/json',
    'es-eventtype': '$settings',
    'es-eventid': '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'
  }
  for (const data of nonsense) {
    for (const [call, headers, body] of [
      ['POST /streams/$settings', {}, { type: '$settings', data }],
      ['POST /streams/$settings', { 'event-type': 'T' }, data],
      ['POST /streams/$settings', dialect, eventOf('$settings', data)],
      ['POST /streams/$settings', plain, data],
      [
        'POST /events',
        {},
        {
          events: [
            { stream: 's', type: 'T' },
            { stream: '$settings', type: 'T', data }
          ]
        }
      ]
    ] as [string, Credentials, unknown][]) {
      const { head } = store.log
      const { statusCode } = await ask(app, call, { ...headers, ...admin }, JSON.stringify(body))
      t.equal(statusCode, 400, `${call} ${JSON.stringify(headers)}: ${JSON.stringify(data)}`)
      t.equal(store.log.head, head)
    }
    const lines = `${JSON.stringify({ stream: '$settings', type: 'T', data })}\n`
    const streamed = await ask(app, 'POST /events', { 'content-type': 'application/x-ndjson', ...admin }, lines)
    t.match(JSON.parse(streamed.body), { problem: { code: 'invalid-event', line: 1 } }, 'as NDJSON')
  }
  const text = { 'content-type': 'text/plain', 'event-type': 'T', ...admin }
  t.equal((await ask(app, 'POST /streams/$settings', text, '{}')).statusCode, 400, 'text is not valid as settings')
  t.equal((await append(app, 's', { type: 'T' }, bob)).statusCode, 403, 'the last valid settings apply')
})

t.test('the newest visible settings apply, and changes that hide settings are audited', async (t) => {
  const directory = t.testdir({})
  const { app, store } = await openApp(t, { insecure: false, directory })
  const bob = await makeUser(store, 'bob')
  const mayWrite = async () => (await append(app, 's', { type: 'T' }, bob)).statusCode === 201
  const metadata = (document: object) => ask(app, 'PUT /streams/$settings/metadata', admin, document)
  const auditRecords = async () => {
    const { events } = (await ask(app, 'GET /streams/$audit?type=AccessRuleChanged&limit=100', admin)).json()
    return events.map(({ data }: { data: { stream: string; who: string } }) => `${data.who} ${data.stream}`)
  }
  for (const $w of ['$all', 'eve', '$admins']) {
    await append(app, '$settings', { type: '$settings', data: { $userStreamAcl: { $w } } }, admin)
  }
  t.notOk(await mayWrite())
  await metadata({ truncateBefore: 2 })
  t.notOk(await mayWrite(), 'older settings are hidden; the newest settings apply')
  await metadata({ truncateBefore: 3 })
  t.ok(await mayWrite(), 'all settings are hidden: the built-in defaults apply')
  await metadata({})
  t.notOk(await mayWrite(), 'visible settings apply again')
  await ask(app, 'DELETE /streams/$settings', admin)
  t.ok(await mayWrite(), 'deleted')
  t.same(await auditRecords(), [...Array(3).fill('admin $settings'), ...Array(3).fill('admin $$$settings')])
  await metadata({})
  t.equal((await auditRecords()).length, 7)
  const live = await mayWrite()
  await app.close()
  const again = await openApp(t, { insecure: false, directory })
  const { statusCode } = await append(again.app, 's', { type: 'T' }, bob)
  t.equal(statusCode === 201, live, 'the same after a restart')
})
