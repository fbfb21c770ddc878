/** API tokens: a part of what an account may do, as long as the account may do it, and never administration. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, bearer, makeToken, makeUser, ops, setRules, withAnn } from '../helpers/people.js'

const EVENT = { type: 'T' }

t.test('a token may do what its account may, within its streams, and nothing else', async (t) => {
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
  t.equal(await asked('POST', '/streams/secret', EVENT), 403, 'though Ann may')
  t.equal(await asked('GET', '/streams/other'), 403)
  t.equal(await asked('GET', '/tokens'), 403)
  const { events } = (await app.inject({ url: '/events?system=true', headers: bearer(text) })).json()
  t.same([...new Set(events.map(({ stream }: { stream: string }) => stream))].sort(), ['$$secret', 'cart-1', 'secret'])
  const all = await makeToken(store, 'admin', { read: ['*'], write: ['*'] })
  const system = await app.inject({ url: '/streams/$users', headers: bearer(all.text) })
  t.equal(system.statusCode, 403, '* does not mean system streams')
  const users = await app.inject({ url: '/users', headers: { accept: '*/*', ...bearer(all.text) } })
  t.equal(users.statusCode, 403, "an administrator's token administrates nothing")
})

t.test('a token of an account that was deleted is not one of the account that has its name now', async (t) => {
  const { app, store } = await withAnn(t)
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  await makeUser(store, 'ann')
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 401)
})

t.test('an account has as many tokens as it may, and is told that waiting does not help', async (t) => {
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

t.test('a token does what its account may at the moment, and nothing while that is disabled', async (t) => {
  const { app, ann, store } = await withAnn(t)
  await setRules(app, 'secret-1', { read: 'sales' })
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  const statusOf = async () =>
    (await app.inject({ url: '/streams/secret-1', headers: asJson(bearer(text)) })).statusCode
  const asAdmin = (method: 'PUT' | 'POST', url: string, payload: object) =>
    app.inject({ method, url, headers: asJson(admin), payload })
  t.equal(await statusOf(), 403)
  await asAdmin('PUT', '/users/ann', { groups: ['sales'] })
  t.equal(await statusOf(), 200, 'a group that it was given')
  await asAdmin('PUT', '/users/ann', { groups: [] })
  t.equal(await statusOf(), 403, 'and that was taken away')
  await asAdmin('PUT', '/users/ann', { groups: ['sales'] })
  const change = { currentPassword: 'ann', newPassword: 'another' }
  await app.inject({ method: 'POST', url: '/users/ann/command/change-password', headers: asJson(ann), payload: change })
  t.equal(await statusOf(), 200, 'another password is no other account')
  await asAdmin('POST', '/users/ann/command/disable', {})
  t.equal(await statusOf(), 401)
  await asAdmin('POST', '/users/ann/command/enable', {})
  t.equal(await statusOf(), 200)
})

t.test('the text of a token is told once; its account and administrators see and revoke it, nobody else', async (t) => {
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
  t.equal(await revoke(bob), 404, 'it is not there for Bob')
  const statusOf = async (token: string) =>
    (await app.inject({ url: '/streams/order-1', headers: asJson(bearer(token)) })).statusCode
  t.equal(await statusOf(text), 200)
  t.equal(await statusOf(`dbk_${id}.${'x'.repeat(43)}`), 401, 'its id is no secret')
  t.equal(await revoke(admin), 204)
  t.equal(await statusOf(text), 401)
})

t.test(
  'a token is for a consumer as far as it reads what that reads, and changes one of the log only with all',
  async (t) => {
    const { app, store, ann } = await withAnn(t)
    const asked = async (method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, who: object, payload?: object) =>
      (await app.inject({ method, url: path, headers: asJson(who), ...(payload && { payload }) })).statusCode
    await asked('PUT', '/consumers/orders', ann, { source: '/streams/order-1' })
    await asked('PUT', '/consumers/log', ann, { source: '/events' })
    const narrow = bearer((await makeToken(store, 'ann', { read: ['other'] })).text)
    const fitting = bearer((await makeToken(store, 'ann', { read: ['order-1'] })).text)
    const writing = bearer((await makeToken(store, 'ann', { write: ['*'] })).text)
    const wide = bearer((await makeToken(store, 'ann', { read: ['*'] })).text)
    const reset = { to: 'start' }
    const rows: [consumer: string, who: object, uses: number, changes: number][] = [
      ['orders', narrow, 403, 403],
      ['orders', writing, 403, 403],
      ['orders', fitting, 200, 200],
      ['log', writing, 403, 403],
      ['log', narrow, 200, 403],
      ['log', wide, 200, 200]
    ]
    for (const [i, [name, who, uses, changes]] of rows.entries()) {
      const what = `row ${i}: ${name}`
      t.equal(await asked('GET', `/consumers/${name}`, who), uses, what)
      t.equal(await asked('GET', `/consumers/${name}/events`, who), uses, what)
      t.equal(await asked('POST', `/consumers/${name}/reset`, who, reset), changes, what)
      if (changes === 403) t.equal(await asked('DELETE', `/consumers/${name}`, who), 403, what)
    }
    t.equal(await asked('PUT', '/consumers/new', narrow, { source: '/events' }), 403)
    t.equal(await asked('PUT', '/consumers/new', narrow, { source: '/streams/order-1' }), 403)
    t.equal(await asked('PUT', '/consumers/new', wide, { source: '/events' }), 201)
    t.equal(await asked('DELETE', '/consumers/orders', fitting), 204)
  }
)

t.test('no token operates, administrates, writes metadata or makes tokens, whatever it names', async (t) => {
  const told: string[] = []
  const control = { stop: () => void told.push('stop'), reload: async () => void told.push('reload'), settings: [] }
  const { app, store } = await openApp(t, { insecure: false, control })
  await append(app, 's', EVENT, admin)
  const everything = { read: ['*', '$*'], write: ['*', '$*', '$$s', 's'] }
  for (const login of ['ops', 'admin']) {
    const who = asJson(bearer((await makeToken(store, login, everything)).text))
    const requests: [method: 'GET' | 'POST' | 'PUT' | 'PATCH', url: string, payload?: object][] = [
      ['POST', '/admin/shutdown'],
      ['POST', '/admin/reloadconfig'],
      ['GET', '/info/options'],
      ['GET', '/users'],
      ['POST', '/users', { loginName: 'eve', password: 'eve' }],
      ['POST', '/users/ops/command/disable', {}],
      ['POST', '/tokens', { name: 'more', read: ['*'] }],
      ['PUT', '/streams/s/metadata', { acl: { read: 'ops' } }],
      ['PATCH', '/streams/s/metadata', { maxCount: 1 }],
      ['POST', '/streams/$$s', { type: '$metadata', data: { $acl: { $r: '$all' } } }],
      ['POST', '/streams/$settings', { type: '$settings', data: {} }]
    ]
    for (const [method, url, payload] of requests) {
      const { statusCode } = await app.inject({ method, url, headers: who, ...(payload && { payload }) })
      t.equal(statusCode, 403, `${login}: ${method} ${url}`)
    }
    t.equal((await app.inject({ url: '/streams/s', headers: who })).statusCode, 200, 'it does what it is for')
  }
  t.same(told, [])
  t.equal((await app.inject({ method: 'POST', url: '/admin/reloadconfig', headers: ops })).statusCode, 200)
  t.same(told, ['reload'])
})

t.test('who comes with wrong tokens is not counted as one who guesses passwords', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const wrong = { url: '/events', headers: asJson(bearer('dbk_x.y')) }
  for (let i = 0; i < limits.sign_in_failures_burst + 5; i++) t.equal((await app.inject(wrong)).statusCode, 401)
  t.equal((await app.inject({ url: '/users', headers: asJson(admin) })).statusCode, 200)
})
