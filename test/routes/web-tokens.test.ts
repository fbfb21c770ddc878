/** Tokens of an identity provider: who they name, for how long, and who they never name. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { exportJWK } from 'jose'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { movedClock, StillClock } from '../helpers/clock.js'
import { admin, asJson, bearer, makeUser, setRules } from '../helpers/people.js'
import { CLAIMS, ISSUER, provider } from '../helpers/provider.js'

t.test("a provider's token counts when its signature, its claims and its time do", async (t) => {
  const { sign, pem, stranger } = await provider()
  const { app, store } = await openApp(t, { insecure: false, webTokens: { publicKey: pem, ...CLAIMS } })
  await append(app, 'orders', { type: 'T' }, admin)
  await setRules(app, 'orders', { read: 'sales' })
  await makeUser(store, 'ann')
  const read = async (token: string) => {
    const { statusCode } = await app.inject({ url: '/streams/orders', headers: { accept: '*/*', ...bearer(token) } })
    return statusCode
  }
  const good = await sign({})
  t.equal(await read(good), 200)
  t.equal(await read(good), 200, 'also when it is remembered')
  t.equal(await read(await sign({ groups: ['other'] })), 403, 'its groups are what the claim says')
  const none = (claims: object) =>
    `${[{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.`
  const [head, body, signature] = good.split('.') as [string, string, string]
  const forged: [what: string, token: string][] = [
    ['alg none', none({ iss: ISSUER, aud: 'daybook', sub: 'carol', exp: 9e9 })],
    ['the public key as a secret', await sign({}, { alg: 'HS256', key: Buffer.from(pem) })],
    ['another key', await sign({}, { key: stranger })],
    ['another issuer', await sign({ iss: 'https://evil.example' })],
    ['another audience', await sign({ aud: 'other' })],
    ['no audience', await sign({ aud: undefined })],
    ['over', await sign({}, { exp: '-1m' })],
    ['without an end', await sign({}, { exp: null })],
    ['not yet', await sign({ nbf: 9e9 })],
    ['a role as its name', await sign({ sub: '$admins' })],
    ['an account of ours', await sign({ sub: 'ann' })],
    ['no name', await sign({ sub: '' })],
    ['a name that is no text', await sign({ sub: 7 })],
    ['groups that are no list', await sign({ groups: { $admins: true } })],
    ['another body', `${head}.${Buffer.from('{"sub":"admin","exp":9000000000}').toString('base64url')}.${signature}`],
    ['another signature', `${head}.${body}.${signature.slice(0, -4)}AAAA`],
    ['cut', `${head}.${body}`]
  ]
  for (const [what, token] of forged) t.equal(await read(token), 401, what)
  t.equal(await read(await sign({ groups: 'sales other' })), 200, 'a list as text')
  await makeUser(store, 'carol')
  t.equal(await read(good), 401, 'an account of that name is another')
})

t.test("keys are fetched from the provider; while it is away that is not the user's fault", async (t) => {
  const { sign, publicKey } = await provider()
  const keys = createServer(async (_request, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' }] }))
  })
  await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve))
  t.teardown(() => keys.close())
  const jwks = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/keys`
  const directory = t.testdir({ near: {}, away: {} })
  const near = join(directory, 'near')
  const { app } = await openApp(t, { insecure: false, directory: near, webTokens: { jwks, ...CLAIMS } })
  const ask = async (on: typeof app, token: string) =>
    (await on.inject({ url: '/events', headers: { accept: '*/*', ...bearer(token) } })).statusCode
  t.equal(await ask(app, await sign({})), 200)
  const away = await openApp(t, {
    insecure: false,
    directory: join(directory, 'away'),
    webTokens: { jwks: 'http://127.0.0.1:9/keys', ...CLAIMS }
  })
  t.equal(await ask(away.app, await sign({})), 503)
  t.equal(await ask(away.app, 'no.web.token'), 401)
})

t.test('keys are fetched again when they are old or lack one, by the time that has passed', async (t) => {
  const [first, second] = [await provider(), await provider()]
  let [current, fetches] = [first, 0]
  const keys = createServer(async (_request, response) => {
    fetches++
    response.setHeader('content-type', 'application/json')
    const kid = current === first ? 'one' : 'two'
    response.end(JSON.stringify({ keys: [{ ...(await exportJWK(current.publicKey)), kid, alg: 'RS256', use: 'sig' }] }))
  })
  await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve))
  t.teardown(() => keys.close())
  const jwks = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/keys`
  const clock = new StillClock()
  const { app } = await openApp(t, { insecure: false, clock, webTokens: { jwks, ...CLAIMS } })
  const exp = 4e9
  let sub = 0
  /** Each token is another one, so that none is remembered. */
  const ask = async (by: typeof first, kid: string) => {
    const token = await by.sign({ sub: `user-${sub++}` }, { exp, kid })
    return (await app.inject({ url: '/events', headers: { accept: '*/*', ...bearer(token) } })).statusCode
  }
  t.equal(await ask(first, 'one'), 200)
  t.equal(await ask(first, 'one'), 200)
  t.equal(fetches, 1)
  current = second
  t.equal(await ask(second, 'two'), 401, 'what it lacks is not asked for all the time')
  clock.ahead = -86_400_000
  clock.move(30_000)
  t.equal(await ask(second, 'two'), 200, 'a clock that was set back delays nothing')
  t.equal(fetches, 2)
  current = first
  clock.move(599_000)
  t.equal(await ask(second, 'two'), 200)
  clock.move(1000)
  t.equal(await ask(second, 'two'), 401, 'a key that was withdrawn counts for ten minutes at most')
})

t.test('a provider makes nobody the first administrator, also when that account was deleted', async (t) => {
  const { sign, pem } = await provider()
  const { app, store } = await openApp(t, { insecure: false, webTokens: { publicKey: pem, ...CLAIMS } })
  const root = await makeUser(store, 'root', ['$admins'])
  t.equal((await app.inject({ method: 'DELETE', url: '/users/admin', headers: root })).statusCode, 200)
  await makeUser(store, 'carol')
  await app.inject({ method: 'DELETE', url: '/users/carol', headers: root })
  const statusOf = async (sub: string) =>
    (await app.inject({ url: '/events', headers: asJson(bearer(await sign({ sub }))) })).statusCode
  t.equal(await statusOf('carol'), 200, 'a name that nobody has any more')
  t.equal(await statusOf('admin'), 401)
})

t.test("a provider's token that is remembered counts no longer than it says", async (t) => {
  const clock = movedClock()
  const { sign, pem } = await provider()
  const { app } = await openApp(t, { insecure: false, clock, webTokens: { publicKey: pem, ...CLAIMS } })
  const headers = asJson(bearer(await sign({}, { exp: Math.floor(clock.now() / 1000) + 60 })))
  for (let i = 0; i < 2; i++) t.equal((await app.inject({ url: '/events', headers })).statusCode, 200)
  clock.ahead = 61_000
  t.equal((await app.inject({ url: '/events', headers })).statusCode, 401)
})

t.test("groups stand where the claim's path says; who has no account here makes no tokens", async (t) => {
  const { sign, pem } = await provider()
  const webTokens = { publicKey: pem, ...CLAIMS, groupsClaim: 'realm.groups' }
  const { app } = await openApp(t, { insecure: false, webTokens })
  await append(app, 's', { type: 'T' }, admin)
  await setRules(app, 's', { read: 'sales' })
  const inside = asJson(bearer(await sign({ groups: ['other'], realm: { groups: ['sales'] } })))
  const outside = asJson(bearer(await sign({ groups: ['sales'], realm: { groups: ['other'] } })))
  t.equal((await app.inject({ url: '/streams/s', headers: inside })).statusCode, 200)
  t.equal((await app.inject({ url: '/streams/s', headers: outside })).statusCode, 403)
  const payload = { name: 'x', read: ['*'] }
  const refused = await app.inject({ method: 'POST', url: '/tokens', headers: inside, payload })
  t.match(refused.json(), { status: 403, code: 'not-permitted' })
})
