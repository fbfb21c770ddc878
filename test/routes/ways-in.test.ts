/** Passwords, tokens, tickets: what each opens, how long, and what it costs whoever tries. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Clock, systemClock } from '../../src/clock.js'
import type { Store } from '../../src/store.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { daybook, serve } from '../helpers/cli.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { admin, basic, bearer, makeToken, makeUser, ops } from '../helpers/people.js'

type Who = Record<string, string>

const DIALECT = { 'content-type': 'application/vnd.eventstore.events+json' }
const ID = '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'

t.test('a token of an administrator administrates nothing, and changes no rule', async (t) => {
  const told: string[] = []
  const control = { stop: () => told.push('stop'), reload: async () => void told.push('reload'), settings: [] }
  const { app, store } = await openApp(t, { insecure: false, control })
  await makeUser(store, 'bob')
  await append(app, 's', { type: 'T' }, admin)
  const { id, text } = await makeToken(store, 'admin', { read: ['*', '$*'], write: ['*', '$*'] })
  const { head } = store.log
  const refused: [call: string, body?: unknown, headers?: Who][] = [
    ['PUT /streams/s/metadata', { acl: { read: 'bob' } }],
    ['PATCH /streams/s/metadata', { maxCount: 1 }],
    ['POST /streams/s/metadata', [{ eventId: ID, eventType: '$metadata', data: {} }], DIALECT],
    ['POST /streams/$$s', [{ eventId: ID, eventType: '$metadata', data: {} }], DIALECT],
    ['POST /streams/$settings', { type: '$settings', data: {} }],
    ['POST /events', { events: [{ stream: '$settings', type: '$settings', data: {} }] }],
    ['DELETE /streams/$settings'],
    ['GET /users'],
    ['GET /users/bob'],
    ['POST /users', { loginName: 'eve', groups: ['$admins'], password: 'eve' }],
    ['PUT /users/bob', { groups: ['$admins'] }],
    ['DELETE /users/bob'],
    ['POST /users/bob/command/disable', {}],
    ['POST /users/bob/command/reset-password', { newPassword: 'x' }],
    ['POST /users/admin/command/change-password', { currentPassword: 'changeit', newPassword: 'x' }],
    ['GET /tokens'],
    ['POST /tokens', { name: 'more', read: ['*'] }],
    [`DELETE /tokens/${id}`],
    ['POST /admin/shutdown', {}],
    ['POST /admin/reloadconfig', {}],
    ['GET /info/options']
  ]
  for (const [call, body, headers] of refused) {
    const { statusCode } = await ask(app, call, { ...headers, ...bearer(text) }, body)
    t.equal(statusCode, headers === DIALECT ? 401 : 403, call)
  }
  const lines = `${JSON.stringify({ stream: '$$s', type: '$metadata', data: {} })}\n`
  const streamed = await ask(app, 'POST /events', { 'content-type': 'application/x-ndjson', ...bearer(text) }, lines)
  t.match(JSON.parse(streamed.body), { problem: { code: 'not-permitted' } }, 'nor line by line')
  t.equal(store.log.head, head, 'nothing is written')
  t.same(told, [])
  t.equal((await ask(app, 'GET /streams/s', bearer(text))).statusCode, 200, 'it reads')
  t.equal((await append(app, 's', { type: 'T' }, bearer(text))).statusCode, 201, 'and writes')
})

/** Consumers of Ann: of the log, of what lists it, of one stream and of another. */
async function withConsumers(t: Parameters<typeof openApp>[0]) {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  await append(app, 'x', [{ type: 'T' }, { type: 'T' }], admin)
  await append(app, 'y', [{ type: 'T' }, { type: 'T' }], admin)
  const sources = { log: '/events', index: '/streams/$et-T', x: '/streams/x', y: '/streams/y' }
  for (const [name, source] of Object.entries(sources)) {
    t.equal((await ask(app, `PUT /consumers/${name}`, ann, { source })).statusCode, 201)
  }
  const tokenFor = async (scope: { read?: string[]; write?: string[] }) =>
    bearer((await makeToken(store, 'ann', scope)).text)
  const places = () => store.consumers.all().map(({ name, cursor, generation }) => `${name} ${cursor} ${generation}`)
  return { app, store, url, ann, sources, tokenFor, places }
}

/** What can be done with a consumer. */
function usesOf(name: string, source: string): { reads: [string, unknown?][]; changes: [string, unknown?][] } {
  return {
    reads: [[`GET /consumers/${name}`], [`GET /consumers/${name}/events`], [`POST /consumers/${name}/ack`, { cursor: '0', generation: 0 }]],
    changes: [
      [`PUT /consumers/${name}`, { source }],
      [`PUT /consumers/made-${name}`, { source }],
      [`POST /consumers/${name}/reset`, { to: 'start' }],
      [`DELETE /consumers/${name}`]
    ]
  } // biome-ignore format: a table
}

t.test('a token that reads nothing uses no consumer of its account', async (t) => {
  const { app, url, sources, tokenFor, places } = await withConsumers(t)
  const before = places()
  for (const scope of [{ write: ['*'] }, { write: ['*', '$*'] }]) {
    const who = await tokenFor(scope)
    for (const [name, source] of Object.entries(sources)) {
      const { reads, changes } = usesOf(name, source)
      for (const [call, body] of [...reads, ...changes]) {
        t.equal((await ask(app, call, who, body)).statusCode, 403, call)
      }
      await t.rejects(LiveSocket.open(t, `${url}/consumers/${name}/events?takeover=true`, who), /403/, `${name}, live`)
    }
  }
  t.same(places(), before, 'none is moved or made')
})

t.test('a token that reads something uses consumers of the log, and changes none that reads more', async (t) => {
  const { app, sources, tokenFor } = await withConsumers(t)
  const who = await tokenFor({ read: ['x'] })
  for (const name of ['log', 'index'] as const) {
    const { reads, changes } = usesOf(name, sources[name])
    for (const [call, body] of reads) t.equal((await ask(app, call, who, body)).statusCode, 200, call)
    for (const [call, body] of changes) t.equal((await ask(app, call, who, body)).statusCode, 403, call)
    const { events } = (await ask(app, `GET /consumers/${name}/events`, who)).json()
    t.ok(
      events.every(({ stream }: { stream: string }) => stream === 'x'),
      'it sees what it is for'
    )
  }
  const theirs = usesOf('x', '/streams/x')
  for (const [call, body] of [...theirs.reads, ...theirs.changes]) {
    t.match(String((await ask(app, call, who, body)).statusCode), /^20[014]$/, `${call}: of the stream that it is for`)
  }
  const others = usesOf('y', '/streams/y')
  for (const [call, body] of [...others.reads, ...others.changes]) {
    t.equal((await ask(app, call, who, body)).statusCode, 403, `${call}: of another`)
  }
})

t.test('a token for all streams makes and changes consumers of the log', async (t) => {
  const { app, sources, tokenFor } = await withConsumers(t)
  const who = await tokenFor({ read: ['*'] })
  for (const [name, source] of Object.entries(sources)) {
    const { reads, changes } = usesOf(name, source)
    for (const [call, body] of [...reads, ...changes]) {
      t.match(String((await ask(app, call, who, body)).statusCode), /^20[014]$/, call)
    }
  }
})

/** Counts how often a password is looked at. */
function countLooks(store: Store): { count: number } {
  const looks = { count: 0 }
  const { verify } = store.accounts
  store.accounts.verify = (...words) => {
    looks.count++
    return verify.apply(store.accounts, words)
  }
  return looks
}

t.test('a hundred requests that come at once with the same credentials cost one look at the password', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  await makeUser(store, 'ann')
  const looks = countLooks(store)
  const together = (who: Who) => Promise.all(Array.from({ length: 100 }, async () => (await ask(app, 'GET /users/$current', who)).statusCode)) // biome-ignore format: one line
  t.same(await together(basic('ann', 'ann')), Array(100).fill(200))
  t.equal(looks.count, 1)
  t.same(await together(basic('ann', 'guess')), Array(100).fill(401), 'wrong ones too')
  t.equal(looks.count, 2)
  await store.failures.tell()
  const { events } = (await ask(app, 'GET /streams/$audit?type=SignInFailed', admin)).json()
  t.match(events, [{ data: { who: 'ann', times: 1 } }])
  t.equal(events.length, 1, 'it was one attempt')
  t.equal((await ask(app, 'GET /users/$current', basic('ann', 'ann'))).statusCode, 200, 'nobody has to wait')
})

t.test('different guesses that come at once are each an attempt', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const looks = countLooks(store)
  const guesses = Array.from({ length: 20 }, (_, i) => ask(app, 'GET /users', basic('admin', `guess-${i}`)))
  for (const { statusCode } of await Promise.all(guesses)) t.equal(statusCode, 401)
  t.equal(looks.count, 20)
  const places = ['10.0.0.1', '10.0.0.2'].map((remoteAddress) =>
    app.inject({ url: '/users', headers: { accept: '*/*', ...basic('admin', 'guess') }, remoteAddress })
  )
  for (const { statusCode } of await Promise.all(places)) t.equal(statusCode, 401)
  t.equal(looks.count, 22, 'each address answers for itself')
})

t.test('a ticket ends with the account that asked for it, and with any change of it', async (t) => {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead }
  const { app, store, url } = await listen(t, { insecure: false, clock })
  await append(app, 's', { type: 'T' }, admin)
  const changes: [what: string, change: () => Promise<unknown>][] = [
    ['its password was reset', () => ask(app, 'POST /users/ann/command/reset-password', admin, { newPassword: 'ann' })],
    ['it changed its password', () => ask(app, 'POST /users/ann/command/change-password', basic('ann', 'ann'), { currentPassword: 'ann', newPassword: 'ann' })],
    ['its groups are others', () => ask(app, 'PUT /users/ann', admin, { groups: ['sales'] })],
    ['it was disabled', () => ask(app, 'POST /users/ann/command/disable', admin, {})],
    ['it was disabled and enabled', async () => {
      await ask(app, 'POST /users/ann/command/disable', admin, {})
      await ask(app, 'POST /users/ann/command/enable', admin, {})
    }],
    ['it was deleted', () => ask(app, 'DELETE /users/ann', admin)],
    ['it was deleted and made again', async () => {
      await ask(app, 'DELETE /users/ann', admin)
      ahead += 1000
      await makeUser(store, 'ann')
    }]
  ] // biome-ignore format: a table
  for (const [what, change] of changes) {
    await ask(app, 'DELETE /users/ann', admin)
    ahead += 1000
    const ann = await makeUser(store, 'ann')
    const issued = await ask(app, 'POST /tickets', ann, { source: '/streams/s', seconds: 600 })
    const { live } = issued.json().links
    t.equal((await ask(app, `GET ${live}`)).statusCode, 200, `until ${what}`)
    const socket = await LiveSocket.open(t, url + live)
    await socket.untilEvents(1)
    ahead += 1000
    await change()
    t.equal((await ask(app, `GET ${live}`)).statusCode, 401, what)
    t.match(await socket.closed, { code: 4401 }, `${what}: what it had opened is closed`)
  }
})

t.test('the last who can administrate is not deleted, disabled or demoted', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const attempts: [string, unknown?][] = [['DELETE /users/admin'], ['POST /users/admin/command/disable', {}]]
  for (const [call, body] of attempts) {
    t.match((await ask(app, call, admin, body)).json(), { success: false, error: 'Conflict' }, call)
    t.equal((await ask(app, call, admin, body)).statusCode, 409, call)
  }
  t.equal(
    (await ask(app, 'PUT /users/admin', admin, { groups: [] })).statusCode,
    200,
    'who is one by name needs no group'
  )
  t.equal((await ask(app, 'GET /users', admin)).statusCode, 200)

  const eve = await makeUser(store, 'eve', ['$admins'])
  t.equal((await ask(app, 'DELETE /users/admin', eve)).statusCode, 200, 'with a second one it can be')
  for (const [call, body] of [
    ['DELETE /users/eve'],
    ['POST /users/eve/command/disable', {}],
    ['PUT /users/eve', { groups: [] }],
    ['PUT /users/eve', { fullName: 'Eve' }]
  ] as [string, unknown?][]) {
    t.equal((await ask(app, call, eve, body)).statusCode, 409, `${call} ${JSON.stringify(body)}`)
  }
  t.equal(
    (await ask(app, 'PUT /users/eve', eve, { groups: ['$admins', 'sales'] })).statusCode,
    200,
    'what leaves it one'
  )
  const second = basic('eve', 'eve')
  await ask(app, 'POST /users', second, { loginName: 'idle', groups: ['$admins'], password: 'idle' })
  await ask(app, 'POST /users/idle/command/disable', second, {})
  t.equal((await ask(app, 'DELETE /users/eve', second)).statusCode, 409, 'one that is disabled is none')
  await ask(app, 'POST /users/idle/command/enable', second, {})
  const both = await Promise.all([ask(app, 'DELETE /users/eve', second), ask(app, 'DELETE /users/idle', second)])
  t.ok(
    both.some(({ statusCode }) => statusCode === 200),
    'of two who delete each other one is in time'
  )
  t.ok(
    store.accounts.all().some(({ groups, disabled }) => groups?.includes('$admins') && !disabled),
    'one is left'
  )
  t.equal((await ask(app, 'GET /users/$current', ops)).statusCode, 200)
})

t.test('a first password is given by a file, too; one that is not the account’s is warned of', async (t) => {
  const directory = t.testdir({ admin: 'of-admin\n', ops: 'of-ops' })
  const db = join(directory, 'db')
  const files = {
    DAYBOOK_ADMIN_PASSWORD_FILE: join(directory, 'admin'),
    DAYBOOK_OPS_PASSWORD_FILE: join(directory, 'ops')
  }
  const argv = ['--db', db, '--port', '0', '--trust-proxy']
  const start = async (env: Record<string, string>) => {
    const { child, banner, url } = await serve(argv, { env })
    let said = banner
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (said += chunk))
    t.teardown(() => child.kill('SIGKILL'))
    const statusOf = async (who: Who) => (await fetch(`${url}/users/$current`, { headers: who })).status
    const stop = () => new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGTERM'))
    return { statusOf, stop, said: () => said }
  }
  const first = await start(files)
  t.equal(await first.statusOf(basic('admin', 'of-admin')), 200, 'without the line break at its end')
  t.equal(await first.statusOf(basic('ops', 'of-ops')), 200)
  await eventually('it says that it is there', () => /Daybook /.test(first.said()))
  t.notMatch(first.said(), /WARNING: DAYBOOK_/)
  t.notMatch(first.said(), /of-admin|of-ops/)
  await first.stop()

  writeFileSync(join(directory, 'admin'), 'another')
  const again = await start(files)
  await eventually('it warns', () => /WARNING: DAYBOOK_ADMIN_PASSWORD is not the password of admin/.test(again.said()))
  t.notMatch(again.said(), /DAYBOOK_OPS_PASSWORD/)
  t.equal(await again.statusOf(basic('admin', 'another')), 401)
  t.equal(await again.statusOf(basic('admin', 'of-admin')), 200)
  await again.stop()

  const missing = { ...files, DAYBOOK_ADMIN_PASSWORD_FILE: join(directory, 'none') }
  t.match(await daybook(argv, { env: missing }), { code: 2, stderr: /DAYBOOK_ADMIN_PASSWORD_FILE: cannot read/ })
})
