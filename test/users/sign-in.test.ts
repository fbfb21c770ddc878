/** Password sign-ins: their cost, how long they are cached, and what invalidates the cache. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { openApp } from '../helpers/app.js'
import { movedClock } from '../helpers/clock.js'
import {
  admin,
  asJson,
  basic,
  bearer,
  type Credentials,
  makeToken,
  makeUser,
  ops,
  TEST_ACTOR,
  withAnn
} from '../helpers/people.js'

/** Counts password checks from now on. */
function countHashes({ accounts }: Store): { hashed: number } {
  const count = { hashed: 0 }
  const { verify } = accounts
  accounts.verify = (...words) => {
    count.hashed++
    return verify.apply(accounts, words)
  }
  return count
}

t.test('a valid password is cached until the account changes', async (t) => {
  const { app, store, ann } = await withAnn(t)
  const who = async (headers: Credentials) => (await app.inject({ url: '/users/$current', headers })).statusCode
  t.equal(await who(ann), 200)
  const count = countHashes(store)
  for (let i = 0; i < 5; i++) t.equal(await who(ann), 200)
  t.equal(count.hashed, 0, 'no hash per request')
  await app.inject({
    method: 'POST',
    url: '/users/ann/command/reset-password',
    headers: admin,
    payload: { newPassword: 'new' }
  })
  t.equal(await who(ann), 401)
  t.equal(await who(basic('ann', 'new')), 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  t.equal(await who(basic('ann', 'new')), 401)
  await makeUser(store, 'ann')
  t.equal(await who(ann), 200, 'the new account of that login')
})

t.test('after a hundred wrong passwords an address has to wait, but cached sign-ins still work', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  const { verify } = store.accounts
  // A hundred hashes would take ten seconds.
  store.accounts.verify = async (login, password) =>
    password.startsWith('wrong') ? undefined : verify.call(store.accounts, login, password)
  const ask = (who: Credentials, remoteAddress?: string) =>
    app.inject({ url: '/users/$current', headers: asJson(who), ...(remoteAddress && { remoteAddress }) })
  const statusOf = async (who: Credentials, from?: string) => (await ask(who, from)).statusCode
  t.equal(await statusOf(ann), 200)
  for (let i = 0; i < limits.sign_in_failures_burst; i++) {
    t.equal(await statusOf(basic(i % 2 ? 'ann' : 'nobody', `wrong ${i}`)), 401)
  }
  const refused = await ask(admin)
  t.match(refused.json(), { status: 429, code: 'too-many-attempts' }, 'a right password is rejected, too')
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.equal(await statusOf(ann), 200, 'a cached sign-in still works')
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  t.equal(await statusOf(bearer(text)), 200, 'tokens are not limited')
  t.equal(await statusOf(admin, '10.0.0.9'), 200, 'another address is not limited')
  for (let i = 0; i < limits.sign_in_failures_burst; i++) {
    t.equal(await statusOf(basic('ann', `wrong ${i}`), `2001:db8::${i.toString(16)}`), 401)
  }
  t.equal(await statusOf(ops, '2001:db8::ffff'), 429, 'an IPv6 network shares one limit')
  t.equal(await statusOf(ops, '2001:db8:0:1::1'), 200, 'another IPv6 network does not')
})

t.test('sign-ins beyond the queue are told to retry', async (t) => {
  const { store } = await openApp(t, { insecure: false })
  const attempts = Array.from({ length: limits.hashes_at_once + limits.hashes_waiting_max + 5 }, () =>
    store.accounts.verify('nobody', 'x').then(
      () => 'looked at',
      (error) => error.code
    )
  )
  const refused = await Promise.all(attempts.slice(-5))
  t.same(refused, Array(5).fill('overloaded'))
  t.equal(await attempts[0], 'looked at')
  await Promise.all(attempts)
})

t.test('a cached password is checked again after five minutes', async (t) => {
  const clock = movedClock()
  const { app, store, ann } = await withAnn(t, { clock })
  const count = countHashes(store)
  const ask = async () => (await app.inject({ url: '/users/$current', headers: ann })).statusCode
  for (let i = 0; i < 3; i++) t.equal(await ask(), 200)
  t.equal(count.hashed, 1)
  clock.ahead = limits.credential_cache_ms + 1000
  // The cache reads the clock once a millisecond.
  while (count.hashed === 1) {
    await new Promise((resolve) => setImmediate(resolve))
    t.equal(await ask(), 200)
  }
  t.equal(count.hashed, 2)
})

t.test('simultaneous requests with the same password share one hash per address', async (t) => {
  const { app, store, ann } = await withAnn(t)
  const count = countHashes(store)
  const ask = async (who: Credentials, remoteAddress: string) =>
    (await app.inject({ url: '/users/$current', headers: asJson(who), remoteAddress })).statusCode
  const many = (who: Credentials, address: string) => Promise.all(Array.from({ length: 80 }, () => ask(who, address)))
  t.same(new Set(await many(ann, '10.0.0.1')), new Set([200]), 'more than the queue holds')
  t.equal(count.hashed, 1)
  t.same(new Set(await many(basic('ann', 'wrong'), '10.0.0.1')), new Set([401]))
  t.equal(count.hashed, 2)
  await Promise.all([ask(basic('bob', 'wrong'), '10.0.0.1'), ask(basic('bob', 'wrong'), '10.0.0.2')])
  t.equal(count.hashed, 4, 'another address needs its own hash')
})

t.test('an account that is disabled during the password check cannot sign in', async (t) => {
  const { store } = await withAnn(t)
  const looked = store.accounts.verify('ann', 'ann')
  await store.accounts.setDisabled(TEST_ACTOR, 'ann', true)
  t.equal(await looked, undefined)
  await store.accounts.setDisabled(TEST_ACTOR, 'ann', false)
  t.match(await store.accounts.verify('ann', 'ann'), { login: 'ann' })
})

t.test('a password matches in another Unicode form, but not with a zero byte appended', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const make = async (loginName: string, password: string) =>
    app.inject({ method: 'POST', url: '/users', headers: asJson(admin), payload: { loginName, password } })
  t.equal((await make('ann', 'k\u00e4se')).statusCode, 201)
  t.match((await make('bob', 'a\0')).json(), { status: 400, code: 'invalid-user' })
  const statusOf = async (password: string) =>
    (await app.inject({ url: '/users/$current', headers: asJson(basic('ann', password)) })).statusCode
  t.equal(await statusOf('ka\u0308se'), 200)
  t.equal(await statusOf('k\u00e4se\0'), 401)
  t.equal(await statusOf('kase'), 401)
})
