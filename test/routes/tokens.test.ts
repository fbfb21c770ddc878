/** API tokens: a part of the rights of an account, as long as the account has them, and never administration. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, openApp } from '../helpers/app.js'
import { StillClock } from '../helpers/clock.js'
import { admin, asJson, bearer, makeToken, makeUser, setRules, withAnn } from '../helpers/people.js'

const EVENT = { type: 'T' }
const DIALECT = { 'content-type': 'application/vnd.eventstore.events+json' }
const ID = '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'

t.test('a token may do what its account may, within its scope, and nothing else', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  for (const stream of ['secret', 'other']) await append(app, stream, EVENT, admin)
  await setRules(app, 'secret', { read: 'ann', write: 'ann', metadataRead: 'ann' })
  await makeUser(store, 'ann')
  const { text } = await makeToken(store, 'ann', { read: ['cart-*', 'secret'], write: ['cart-1'] })
  const asked = async (method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object) =>
    (await app.inject({ method, url: path, headers: bearer(text), ...(payload && { payload }) })).statusCode
  t.equal(await asked('POST', '/streams/cart-1', EVENT), 201)
  t.equal(await asked('GET', '/streams/cart-1'), 200)
  t.equal(await asked('GET', '/streams/secret'), 200)
  t.equal(await asked('POST', '/streams/cart-2', EVENT), 403)
  t.equal(await asked('POST', '/streams/secret', EVENT), 403, 'although Ann may')
  t.equal(await asked('GET', '/streams/other'), 403)
  t.equal(await asked('GET', '/tokens'), 403)
  const { events } = (await app.inject({ url: '/events?system=true', headers: bearer(text) })).json()
  t.same([...new Set(events.map(({ stream }: { stream: string }) => stream))].sort(), ['$$secret', 'cart-1', 'secret'])
  const all = await makeToken(store, 'admin', { read: ['*'], write: ['*'] })
  const system = await app.inject({ url: '/streams/$users', headers: bearer(all.text) })
  t.equal(system.statusCode, 403, '* does not include system streams')
  const users = await app.inject({ url: '/users', headers: { accept: '*/*', ...bearer(all.text) } })
  t.equal(users.statusCode, 403, 'a token of an administrator has no right to administration')
})

t.test('a token of a deleted account is not valid for a later account of the same name', async (t) => {
  const { app, store } = await withAnn(t)
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  await makeUser(store, 'ann')
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 401)
})

for (const [clockIs, moves] of [
  ['goes back by an hour', -3_600_000],
  ['stands still', 0],
  ['jumps ahead by an hour', 3_600_000]
] as const) {
  t.test(`tokens belong to the account that made them, also when the clock ${clockIs} in between`, async (t) => {
    const clock = new StillClock()
    const { app, store } = await openApp(t, { insecure: false, clock })
    const statusOf = async (text: string) => (await app.inject({ url: '/events', headers: bearer(text) })).statusCode
    await makeUser(store, 'ann')
    clock.ahead = moves
    const old = await makeToken(store, 'ann', { read: ['*'] })
    t.equal(await statusOf(old.text), 200, 'a token of an account that is younger by the clock')
    await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
    clock.ahead = 2 * moves
    await makeUser(store, 'ann')
    t.equal(await statusOf(old.text), 401, 'a token of an account that was deleted')
    const own = await makeToken(store, 'ann', { read: ['*'] })
    t.equal(await statusOf(own.text), 200)
    await store.accounts.load()
    await store.tokens.load()
    t.same(
      [await statusOf(old.text), await statusOf(own.text)],
      [401, 200],
      'also after accounts and tokens are loaded again'
    )
  })
}

t.test('an account has at most tokens_max tokens, and can make another after revoking one', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  const make = () => makeToken(store, 'ann', { read: ['s'] })
  for (let i = 0; i < limits.tokens_max; i += 100) await Promise.all(Array.from({ length: 100 }, make))
  const headers = { ...ann, 'content-type': 'application/json', accept: '*/*' }
  const ask = () => app.inject({ method: 'POST', url: '/tokens', headers, payload: { name: 'more', read: ['s'] } })
  t.match((await ask()).json(), { status: 409, code: 'limit-reached', limit: limits.tokens_max })
  const { tokens } = (await app.inject({ url: '/tokens', headers })).json()
  await app.inject({ method: 'DELETE', url: `/tokens/${tokens[0].id}`, headers })
  t.equal((await ask()).statusCode, 201)
})

t.test('a token has the current rights of its account, and none while the account is disabled', async (t) => {
  const { app, ann, store } = await withAnn(t)
  await setRules(app, 'secret-1', { read: 'sales' })
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  const statusOf = async () =>
    (await app.inject({ url: '/streams/secret-1', headers: asJson(bearer(text)) })).statusCode
  const asAdmin = (method: 'PUT' | 'POST', url: string, payload: object) =>
    app.inject({ method, url, headers: asJson(admin), payload })
  t.equal(await statusOf(), 403)
  await asAdmin('PUT', '/users/ann', { groups: ['sales'] })
  t.equal(await statusOf(), 200, 'a group that was added')
  await asAdmin('PUT', '/users/ann', { groups: [] })
  t.equal(await statusOf(), 403, 'a group that was removed')
  await asAdmin('PUT', '/users/ann', { groups: ['sales'] })
  const change = { currentPassword: 'ann', newPassword: 'another' }
  await app.inject({ method: 'POST', url: '/users/ann/command/change-password', headers: asJson(ann), payload: change })
  t.equal(await statusOf(), 200, 'a changed password does not affect its tokens')
  await asAdmin('POST', '/users/ann/command/disable', {})
  t.equal(await statusOf(), 401)
  await asAdmin('POST', '/users/ann/command/enable', {})
  t.equal(await statusOf(), 200)
})

t.test(
  'the text of a token is returned once; only its account and administrators can list and revoke it',
  async (t) => {
    const { app, ann, bob } = await withAnn(t)
    const payload = { name: 'report', read: ['order-*'], expires: 'P30D' }
    const made = await app.inject({ method: 'POST', url: '/tokens', headers: asJson(ann), payload })
    t.equal(made.headers['cache-control'], 'no-store')
    const { id, token: text } = made.json()
    const list = async (who: object) => app.inject({ url: '/tokens', headers: asJson(who) })
    for (const who of [ann, admin]) {
      const { headers, body } = await list(who)
      t.match(JSON.parse(body).tokens, [{ id, name: 'report', login: 'ann', read: ['order-*'], write: [] }])
      t.equal(headers['cache-control'], 'no-store')
      t.notMatch(body, /hash|dbk_/)
    }
    t.same((await list(bob)).json().tokens, [])
    const revoke = async (who: object) =>
      (await app.inject({ method: 'DELETE', url: `/tokens/${id}`, headers: asJson(who) })).statusCode
    t.equal(await revoke(bob), 404, 'for Bob the token does not exist')
    const statusOf = async (token: string) =>
      (await app.inject({ url: '/streams/order-1', headers: asJson(bearer(token)) })).statusCode
    t.equal(await statusOf(text), 200)
    t.equal(await statusOf(`dbk_${id}.${'x'.repeat(43)}`), 401, 'the id of a token is not a credential')
    t.equal(await revoke(admin), 204)
    t.equal(await statusOf(text), 401)
  }
)

t.test('wrong tokens are not counted as failed sign-ins with a password', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const wrong = { url: '/events', headers: asJson(bearer('dbk_x.y')) }
  for (let i = 0; i < limits.sign_in_failures_burst + 5; i++) t.equal((await app.inject(wrong)).statusCode, 401)
  t.equal((await app.inject({ url: '/users', headers: asJson(admin) })).statusCode, 200)
})

t.test('a token of an administrator has no right to administration, and cannot change a rule', async (t) => {
  const commands: string[] = []
  const control = { stop: () => commands.push('stop'), reload: async () => void commands.push('reload'), settings: [] }
  const { app, store } = await openApp(t, { insecure: false, control })
  await makeUser(store, 'bob')
  await append(app, 's', { type: 'T' }, admin)
  const { id, text } = await makeToken(store, 'admin', { read: ['*', '$*'], write: ['*', '$*'] })
  const { head } = store.log
  const refused: [call: string, body?: unknown, headers?: Record<string, string>][] = [
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
  t.match(JSON.parse(streamed.body), { problem: { code: 'not-permitted' } }, 'as NDJSON')
  t.equal(store.log.head, head, 'nothing is written')
  t.same(commands, [])
  t.equal((await ask(app, 'GET /streams/s', bearer(text))).statusCode, 200, 'it can read')
  t.equal((await append(app, 's', { type: 'T' }, bearer(text))).statusCode, 201, 'it can append')
})
