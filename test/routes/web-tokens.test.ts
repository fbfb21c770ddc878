/** Tokens of an identity provider: which user they name, for how long, and which users they can never name. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { exportJWK } from 'jose'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { movedClock, StillClock } from '../helpers/clock.js'
import { admin, asJson, bearer, makeUser, setRules } from '../helpers/people.js'
import { CLAIMS, ISSUER, provider } from '../helpers/provider.js'

t.test('a token of a provider is accepted only with a valid signature, valid claims and within its time', async (t) => {
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
  t.equal(await read(good), 200, 'also when it is cached')
  t.equal(await read(await sign({ groups: ['other'] })), 403, 'its groups are those of the claim')
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
    ['expired', await sign({}, { exp: '-1m' })],
    ['without an expiry', await sign({}, { exp: null })],
    ['not valid yet', await sign({ nbf: 9e9 })],
    ['a role as its name', await sign({ sub: '$admins' })],
    ['the name of a local account', await sign({ sub: 'ann' })],
    ['no name', await sign({ sub: '' })],
    ['a name that is not a string', await sign({ sub: 7 })],
    ['groups that are not a list', await sign({ groups: { $admins: true } })],
    ['another body', `${head}.${Buffer.from('{"sub":"admin","exp":9000000000}').toString('base64url')}.${signature}`],
    ['another signature', `${head}.${body}.${signature.slice(0, -4)}AAAA`],
    ['truncated', `${head}.${body}`]
  ]
  for (const [what, token] of forged) t.equal(await read(token), 401, what)
  t.equal(await read(await sign({ groups: 'sales other' })), 200, 'groups as text')
  await makeUser(store, 'carol')
  t.equal(await read(good), 401, 'a local account of that name is another user')
})

t.test('keys are fetched from the provider; while it is unreachable its tokens get 503', async (t) => {
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

t.test(
  'keys are fetched again when they are old or one is missing, by elapsed time rather than by the clock',
  async (t) => {
    const [first, second] = [await provider(), await provider()]
    let [current, fetches] = [first, 0]
    const keys = createServer(async (_request, response) => {
      fetches++
      response.setHeader('content-type', 'application/json')
      const kid = current === first ? 'one' : 'two'
      response.end(
        JSON.stringify({ keys: [{ ...(await exportJWK(current.publicKey)), kid, alg: 'RS256', use: 'sig' }] })
      )
    })
    await new Promise<void>((resolve) => keys.listen(0, '127.0.0.1', resolve))
    t.teardown(() => keys.close())
    const jwks = `http://127.0.0.1:${(keys.address() as AddressInfo).port}/keys`
    const clock = new StillClock()
    const { app } = await openApp(t, { insecure: false, clock, webTokens: { jwks, ...CLAIMS } })
    const exp = 4e9
    let sub = 0
    /** Each request has another token, so that none is cached. */
    const ask = async (by: typeof first, kid: string) => {
      const token = await by.sign({ sub: `user-${sub++}` }, { exp, kid })
      return (await app.inject({ url: '/events', headers: { accept: '*/*', ...bearer(token) } })).statusCode
    }
    t.equal(await ask(first, 'one'), 200)
    t.equal(await ask(first, 'one'), 200)
    t.equal(fetches, 1)
    current = second
    t.equal(await ask(second, 'two'), 401, 'a missing key is not fetched again at once')
    clock.ahead = -86_400_000
    clock.move(30_000)
    t.equal(await ask(second, 'two'), 200, 'a clock that was set back does not delay the fetch')
    t.equal(fetches, 2)
    current = first
    clock.move(599_000)
    t.equal(await ask(second, 'two'), 200)
    clock.move(1000)
    t.equal(await ask(second, 'two'), 401, 'a withdrawn key is valid for ten minutes at most')
  }
)

t.test('a provider’s token can never name the first administrator, even when that account was deleted', async (t) => {
  const { sign, pem } = await provider()
  const { app, store } = await openApp(t, { insecure: false, webTokens: { publicKey: pem, ...CLAIMS } })
  const root = await makeUser(store, 'root', ['$admins'])
  t.equal((await app.inject({ method: 'DELETE', url: '/users/admin', headers: root })).statusCode, 200)
  await makeUser(store, 'carol')
  await app.inject({ method: 'DELETE', url: '/users/carol', headers: root })
  const statusOf = async (sub: string) =>
    (await app.inject({ url: '/events', headers: asJson(bearer(await sign({ sub }))) })).statusCode
  t.equal(await statusOf('carol'), 200, 'the name of a deleted account is free')
  t.equal(await statusOf('admin'), 401)
})

t.test('a cached token of a provider is valid no longer than its expiry', async (t) => {
  const clock = movedClock()
  const { sign, pem } = await provider()
  const { app } = await openApp(t, { insecure: false, clock, webTokens: { publicKey: pem, ...CLAIMS } })
  const headers = asJson(bearer(await sign({}, { exp: Math.floor(clock.now() / 1000) + 60 })))
  for (let i = 0; i < 2; i++) t.equal((await app.inject({ url: '/events', headers })).statusCode, 200)
  clock.ahead = 61_000
  t.equal((await app.inject({ url: '/events', headers })).statusCode, 401)
})

t.test('groups are read from the configured claim; a user without a local account cannot make tokens', async (t) => {
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
