/**
 * Only the server writes its own streams (accounts, tokens, audit, consumers): no caller can, in any form of request.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Store } from '../../src/store/store.js'
import { ask, openApp } from '../helpers/app.js'
import { daybook } from '../helpers/cli.js'
import { admin, basic, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'

const OWN = ['$user-ann', '$user-nobody', '$users', '$tokens', '$audit', '$consumers']
const ID = '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'
const EVENT = { type: '$UserUpdated', data: { loginName: 'ann', groups: ['$admins'], disabled: false } }

/** Returns every request that appends to a stream or deletes it. */
function writesTo(stream: string): [call: string, headers: Record<string, string>, body: unknown][] {
  const address = `/streams/${encodeURIComponent(stream)}`
  const several = { 'content-type': 'application/vnd.eventstore.events+json' }
  const dialectEvent = [{ eventId: ID, eventType: EVENT.type, data: EVENT.data }]
  return [
    [`POST ${address}`, {}, EVENT],
    [`POST ${address}`, { 'content-type': 'application/x-ndjson' }, JSON.stringify(EVENT)],
    [`POST ${address}`, { 'event-type': EVENT.type }, EVENT.data],
    [`POST ${address}`, several, dialectEvent],
    [`POST ${address}`, { 'es-eventtype': EVENT.type, 'es-eventid': ID }, EVENT.data],
    [`POST ${address}/incoming/${ID}`, { 'es-eventtype': EVENT.type }, EVENT.data],
    ['POST /events', {}, { events: [{ stream, ...EVENT }] }],
    ['POST /events', {}, { events: [{ stream: 'open', type: 'T' }, { stream, ...EVENT }] }], // biome-ignore format: a list
    ['POST /events', { 'content-type': 'application/x-ndjson' }, `${JSON.stringify({ stream, ...EVENT })}\n`],
    [`DELETE ${address}`, {}, undefined],
    [`DELETE ${address}?permanent=true`, {}, undefined],
    [`DELETE ${address}`, { 'es-requireleader': 'false' }, undefined],
    [`DELETE ${address}`, { 'es-harddelete': 'true' }, undefined]
  ]
}

async function expectNothingWritten(
  t: Test,
  app: FastifyInstance,
  store: Store,
  who: Record<string, string>,
  name: string
) {
  for (const stream of OWN) {
    for (const [call, headers, body] of writesTo(stream)) {
      const head = store.log.head
      const answer = await ask(app, call, { ...headers, ...who }, body)
      const streamed = call === 'POST /events' && headers['content-type']?.includes('ndjson')
      const how = `${name}: ${call} ${JSON.stringify(headers)} for ${stream}`
      if (streamed)
        t.match(JSON.parse(answer.body), { problem: { code: /^(not-permitted|sign-in-required)$/, line: 1 } }, how)
      else t.match(String(answer.statusCode), /^40[0139]$/, how)
      t.equal(store.log.head, head, `${how} writes nothing`)
    }
  }
}

t.test('no caller can append to the server’s own streams or delete them', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const ann = await makeUser(store, 'ann')
  const { text } = await makeToken(store, 'admin', { read: ['*', '$*'], write: ['*', '$*'] })
  const consumer = await ask(app, 'PUT /consumers/anns', ann, { source: '/events' })
  t.equal(consumer.statusCode, 201)
  const people: [string, Record<string, string>][] = [
    ['an administrator', admin],
    ['a token for all streams', bearer(text)],
    ['an account', ann],
    ['no credentials', {}]
  ]
  for (const [name, who] of people) await expectNothingWritten(t, app, store, who, name)
  t.match((await ask(app, 'GET /users/$current', ann)).json(), { data: { loginName: 'ann', groups: [] } })
  t.equal((await ask(app, 'GET /users', admin)).statusCode, 200)
  t.equal((await ask(app, 'GET /consumers/anns', ann)).statusCode, 200)
  t.equal((await ask(app, 'GET /events', bearer(text))).statusCode, 200)
})

t.test('access rules of the server’s own streams can grant reading, but not writing', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  for (const stream of OWN) {
    await setRules(app, stream, { read: 'ann', write: ['ann', '$all'], delete: ['ann', '$all'], metadataWrite: 'ann' })
  }
  await expectNothingWritten(t, app, store, ann, 'an account that a rule names')
  t.equal((await ask(app, 'GET /streams/$users', ann)).statusCode, 200)
  t.equal((await ask(app, 'GET /streams/$audit', ann)).statusCode, 200)
})

t.test('with --insecure, no caller can write the server’s own streams at their addresses', async (t) => {
  const directory = t.testdir({})
  const open = await openApp(t, { directory })
  await ask(open.app, 'POST /users', {}, { loginName: 'ann', groups: [], password: 'ann' })
  for (const stream of OWN) {
    for (const [call, headers, body] of writesTo(stream).filter(([call]) => call !== 'POST /events')) {
      const { head } = open.store.log
      t.match(String((await ask(open.app, call, headers, body)).statusCode), /^40[0139]$/, `${call} for ${stream}`)
      t.equal(open.store.log.head, head, `${call} for ${stream} writes nothing`)
    }
  }
  await open.app.close()
  const { app } = await openApp(t, { directory, insecure: false })
  t.match((await ask(app, 'GET /users/$current', basic('ann', 'ann'))).json(), { data: { groups: [] } })
})

t.test('only administrators may write $settings, and it cannot be deleted permanently', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const { text } = await makeToken(store, 'admin', { read: ['*', '$*'], write: ['*', '$*'] })
  const settings = { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } }
  t.equal((await ask(app, 'POST /streams/$settings', bearer(text), settings)).statusCode, 403)
  t.equal((await ask(app, 'DELETE /streams/$settings', bearer(text))).statusCode, 403)
  t.equal((await ask(app, 'POST /streams/$settings', admin, settings)).statusCode, 201)
  const forEver = await ask(app, 'DELETE /streams/$settings', { ...admin, 'es-harddelete': 'true' })
  t.equal(forEver.statusCode, 400)
  t.equal((await ask(app, 'DELETE /streams/$settings', admin)).statusCode, 204)
})

/** Writes an export of a log with an account to a file. */
async function writeExport(t: Test): Promise<{ file: string; directory: string; lines: { stream: string }[] }> {
  const directory = t.testdir({})
  const { app } = await openApp(t, { directory: join(directory, 'from') })
  await ask(app, 'POST /users', {}, { loginName: 'eve', groups: ['$admins'], password: 'eve' })
  await ask(app, 'PUT /consumers/c', {}, { source: '/events' })
  await ask(app, 'POST /streams/$settings', {}, { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } })
  await ask(app, 'POST /streams/orders', {}, { type: 'Placed' })
  const { body } = await ask(app, 'GET /events?system=true&format=ndjson')
  const file = join(directory, 'log.ndjson')
  writeFileSync(file, body)
  const lines = body.trim().split('\n').map((line) => JSON.parse(line)) // biome-ignore format: one line each
  return { file, directory, lines }
}

const isOwn = ({ stream }: { stream: string }) => OWN.includes(stream) || stream === '$user-eve'

t.test(
  'an import leaves out accounts, tokens, consumers and audit of another server, and reports how many events',
  async (t) => {
    const { file, directory, lines } = await writeExport(t)
    const left = lines.filter(isOwn).length
    t.ok(left > 3, `${left} lines are of the server’s own streams`)
    const expectedOutput = new RegExp(
      `${lines.length - left} events imported, ${left} events of another server's accounts and audit skipped`
    )

    const { app, store } = await openApp(t, { directory: join(directory, 'to') })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const before = store.log.head
    t.match(await daybook(['import', file, '--url', url]), { code: 0, stderr: expectedOutput })
    t.equal(store.log.head - before, lines.length - left)
    t.equal(store.accounts.get('eve'), undefined, 'no account was imported')
    t.equal(store.consumers.find('c'), undefined)

    const db = join(directory, 'db')
    t.match(await daybook(['import', file, '--db', db]), { code: 0, stderr: expectedOutput })
    const kept = await new Store({ directory: db }).open()
    t.teardown(() => kept.close())
    t.equal(kept.accounts.get('eve'), undefined)
    t.equal(kept.rules.settings.userStreams.$w, '$admins', 'settings are imported')
  }
)

t.test('an import with --as-log keeps the server’s own streams', async (t) => {
  const { file, directory, lines } = await writeExport(t)
  const db = join(directory, 'db')
  t.match(await daybook(['import', file, '--db', db, '--as-log']), {
    code: 0,
    stderr: new RegExp(`^(?![\\s\\S]*skipped)[\\s\\S]*${lines.length} events imported`)
  })
  const { app, store } = await openApp(t, { directory: db, insecure: false })
  t.equal((await ask(app, 'GET /users', basic('eve', 'eve'))).statusCode, 200)
  t.ok(store.consumers.find('c'))
})

t.test('with --insecure, no caller can write the server’s own streams with POST /events', async (t) => {
  const directory = t.testdir({})
  const open = await openApp(t, { directory })
  await ask(open.app, 'POST /users', {}, { loginName: 'ann', groups: [], password: 'ann' })
  for (const stream of ['$user-ann', '$users', '$tokens', '$audit', '$consumers']) {
    const event = { stream, type: '$UserUpdated', data: { loginName: 'ann', groups: ['$admins'], disabled: false } }
    const { head } = open.store.log
    const batch = await ask(open.app, 'POST /events', {}, { events: [event] })
    t.equal(batch.statusCode, 403, `${stream}: ${batch.body}`)
    const typed = { 'content-type': 'application/x-ndjson' }
    const streamed = await ask(open.app, 'POST /events', typed, `${JSON.stringify(event)}\n`)
    t.match(JSON.parse(streamed.body), { problem: { code: 'not-permitted' } }, `${stream}, as NDJSON`)
    t.equal(open.store.log.head, head, `${stream}: nothing is written`)
  }
  await open.app.close()
  const { app } = await openApp(t, { directory, insecure: false })
  t.match(
    (await ask(app, 'GET /users/$current', basic('ann', 'ann'))).json(),
    { data: { groups: [] } },
    'the account is unchanged'
  )
})

t.test(
  'the audit cannot be truncated by number or within a day, and retention of the server’s own streams is audited',
  async (t) => {
    const { app } = await openApp(t, { insecure: false })
    const put = (stream: string, document: object) => ask(app, `PUT /streams/${stream}/metadata`, admin, document)
    const several = { 'content-type': 'application/vnd.eventstore.events+json', ...admin }
    const lines = { 'content-type': 'application/x-ndjson', ...admin }
    for (const [readable, stored] of [
      [{ maxCount: 1 }, { $maxCount: 1 }],
      [{ truncateBefore: 1 }, { $tb: 1 }],
      [{ maxAge: 'PT1S' }, { $maxAge: 1 }],
      [{ maxAge: 'PT23H59M59S' }, { $maxAge: 86_399 }],
      [
        { maxAge: 'P1D', truncateBefore: 9 },
        { $maxAge: 86_400, $tb: 9 }
      ]
    ]) {
      t.match((await put('$audit', readable as object)).json(), {
        status: 400,
        code: 'invalid-metadata',
        written: false
      })
      t.equal((await ask(app, 'PATCH /streams/$audit/metadata', admin, readable)).statusCode, 400)
      const event = [{ eventId: ID, eventType: '$metadata', data: stored }]
      for (const url of ['/streams/$audit/metadata', '/streams/$$$audit']) {
        t.equal((await ask(app, `POST ${url}`, several, event)).statusCode, 400, url)
      }
      const line = `${JSON.stringify({ stream: '$$$audit', type: '$metadata', data: stored })}\n`
      const streamed = await ask(app, 'POST /events', lines, line)
      t.match(JSON.parse(streamed.body), { problem: { code: 'invalid-metadata', line: 1 } })
    }
    const auditRecords = async () => (await ask(app, 'GET /streams/$audit?limit=100', admin)).json().events ?? []
    t.same(await auditRecords(), [])
    t.equal((await put('$audit', { maxAge: 'P30D' })).statusCode, 201)
    t.equal(
      (await put('$audit', { maxAge: 'P30D', own: 1 })).statusCode,
      200,
      'retention that did not change is not recorded'
    )
    for (const stream of ['$consumers', '$settings']) t.equal((await put(stream, { maxAge: 'PT1S' })).statusCode, 201)
    t.equal((await put('$user-ann', { truncateBefore: 5 })).statusCode, 201)
    t.equal((await put('$tokens', { maxCount: 5, acl: { read: 'ann' } })).statusCode, 201)
    await ask(app, 'POST /streams/$$$users', several, [{ eventId: ID, eventType: '$metadata', data: { $tb: 7 } }])
    await put('s', { maxCount: 1 })
    t.match(await auditRecords(), [
      { type: 'RetentionChanged', data: { who: 'admin', stream: '$audit', retention: { $maxAge: 2_592_000 } } },
      { type: 'RetentionChanged', data: { stream: '$consumers', retention: { $maxAge: 1 } } },
      { type: 'AccessRuleChanged', data: { stream: '$$$settings', number: 0 } },
      { type: 'RetentionChanged', data: { who: 'admin', stream: '$user-ann', retention: { $tb: 5 } } },
      { type: 'AccessRuleChanged', data: { stream: '$tokens', acl: { $r: 'ann' } } },
      { type: 'RetentionChanged', data: { stream: '$tokens', retention: { $maxCount: 5 } } },
      { type: 'RetentionChanged', data: { stream: '$users', retention: { $tb: 7 } } }
    ])
    t.equal((await auditRecords()).length, 7)
  }
)
