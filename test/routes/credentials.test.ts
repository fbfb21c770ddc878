/** Whoever guesses, forges, replays or garbles credentials does not get in, learns nothing, and breaks nothing. */
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { type Clock, systemClock } from '../../src/clock.js'
import { limits } from '../../src/limits.js'
import { append, openApp } from '../helpers/app.js'
import { admin, basic, bearer, makeToken, makeUser, ops, setRules } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

t.test('an unknown login is answered as a wrong password is, after as much work', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  await makeUser(store, 'ann')
  const ask = (who: Record<string, string>) => app.inject({ url: '/events', headers: { accept: '*/*', ...who } })
  const [unknown, wrong] = [await ask(basic('nobody', 'x')), await ask(basic('ann', 'x'))]
  await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
  const disabled = await ask(basic('ann', 'ann'))
  const said = (answer: typeof wrong) => {
    const { 'request-id': _, date: __, ...headers } = answer.headers
    return [answer.statusCode, headers, { ...answer.json(), requestId: '' }]
  }
  t.same(said(unknown), said(wrong))
  t.same(said(disabled), said(wrong))
  t.equal(unknown.statusCode, 401)
  const cpuOf = async (login: string) => {
    const before = process.cpuUsage()
    for (let i = 0; i < 3; i++) await store.accounts.verify(login, randomUUID())
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  await cpuOf('warm')
  const ratio = (await cpuOf('nobody')) / (await cpuOf('admin'))
  t.ok(ratio > 0.5 && ratio < 2, `the work is the same: ${ratio.toFixed(2)}`)
})

t.test('after a hundred wrong passwords an address has to wait, and what was remembered goes on', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  const statusOf = async (who: Record<string, string>) =>
    (await app.inject({ url: '/users/$current', headers: { accept: '*/*', ...who } })).statusCode
  t.equal(await statusOf(ann), 200)
  for (let i = 0; i < limits.sign_in_failures_burst; i++) store.failures.count('127.0.0.1', undefined)
  const refused = await app.inject({ url: '/users/$current', headers: { accept: '*/*', ...admin } })
  t.match(refused.json(), { status: 429, code: 'too-many-attempts' })
  t.ok(Number(refused.headers['retry-after']) > 0)
  t.equal(await statusOf(ann), 200, 'who was in before goes on')
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  t.equal(await statusOf(bearer(text)), 200, 'tokens are not guessed')
  const elsewhere = await app.inject({ url: '/users/$current', headers: admin, remoteAddress: '10.0.0.9' })
  t.equal(elsewhere.statusCode, 200)
  for (let i = 0; i < limits.sign_in_failures_burst; i++) store.failures.count('2001:db8::1', undefined)
  const near = await app.inject({ url: '/users/$current', headers: ops, remoteAddress: '2001:db8::2' })
  t.equal(near.statusCode, 429, 'whoever has an address of IPv6 has its whole network')
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

t.test('garbled credentials let nobody in, and are no fault of the server', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const values = [
    'Basic', 'Basic ', 'Basic ???', 'Basic YWRtaW4=', 'Basic OmNoYW5nZWl0', `Basic ${Buffer.from('admin:').toString('base64')}`,
    `Basic ${Buffer.from('ADMIN:changeit').toString('base64')}`, `Basic ${Buffer.from('admin:changeit\0').toString('base64')}`,
    `Basic ${Buffer.from('admin\u200b:changeit').toString('base64')}`, `Basic ${'A'.repeat(8000)}`,
    `Basic ${Buffer.from(`admin:${'x'.repeat(2000)}`).toString('base64')}`, 'basic YWRtaW46Y2hhbmdlaXQ=', 'Bearer', 'Bearer ',
    'Bearer dbk_', 'Bearer dbk_x.y', 'Bearer dbk_.', 'Bearer a.b.c', `Bearer ${'.'.repeat(5000)}`, 'Bearer __proto__', 'Digest username="admin"',
    '=', ','
  ] // biome-ignore format: a list
  for (const authorization of values) {
    const { statusCode } = await app.inject({ url: '/users', headers: { accept: '*/*', authorization } })
    t.equal(statusCode, 401, authorization.slice(0, 60))
  }
  for (const ticket of ['', '.', 'x.y', `${Buffer.from('{}').toString('base64url')}.`, 'a'.repeat(3000)]) {
    t.equal((await app.inject(`/events?ticket=${ticket}`)).statusCode, 401, `ticket ${ticket.slice(0, 20)}`)
  }
})

t.test('a header of a mebibyte ends its connection, and no other', async (t) => {
  const { raw, app } = await listenRaw(t, { insecure: false })
  const large = `Authorization: Basic ${'A'.repeat(1 << 20)}`
  const { status } = await raw(`GET /users HTTP/1.1\r\nHost: localhost\r\n${large}\r\n\r\n`)
  t.equal(status, 431)
  t.equal((await app.inject({ url: '/users', headers: admin })).statusCode, 200)
})

const ISSUER = 'https://id.example'

/** Signs what a provider would, and what it would not. */
async function provider() {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true })
  const stranger = await generateKeyPair('RS256')
  const sign = (
    claims: Record<string, unknown>,
    { key = privateKey as Parameters<SignJWT['sign']>[0], alg = 'RS256', exp = '5m' as string | null } = {}
  ) => {
    const token = new SignJWT({ iss: ISSUER, aud: 'daybook', sub: 'carol', groups: ['sales'], ...claims })
    token.setProtectedHeader({ alg, kid: 'one' })
    if (exp !== null) token.setExpirationTime(exp)
    return token.sign(key)
  }
  const pem = await exportSPKI(publicKey)
  return { sign, pem, publicKey, stranger: stranger.privateKey }
}

const CLAIMS = { issuer: ISSUER, audience: 'daybook', loginClaim: 'sub', groupsClaim: 'groups' }

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
    ['the first account', await sign({ sub: 'admin' })],
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

t.test('a ticket is good for its time, its source and reading, and stands nowhere', async (t) => {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead }
  const logged: string[] = []
  const log = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk))
      done()
    }
  })
  const { app, store } = await openApp(t, { insecure: false, clock, logLevel: 'trace', logTo: log })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T' }, admin)
  const headers = { ...ann, 'content-type': 'application/json' }
  const asked = await app.inject({
    method: 'POST',
    url: '/tickets',
    headers,
    payload: { source: '/streams/s', seconds: 30 }
  })
  const { ticket } = asked.json()
  const statusOf = async (url: string, method: 'GET' | 'POST' = 'GET') =>
    (await app.inject({ method, url, headers: { accept: '*/*', 'content-type': 'application/json' }, payload: method === 'POST' ? { type: 'T' } : undefined })).statusCode // biome-ignore format: one request
  t.equal(await statusOf(`/streams/s?ticket=${ticket}`), 200)
  t.equal(await statusOf(`/streams/s?ticket=${ticket}`, 'POST'), 403)
  t.equal(await statusOf(`/streams/other?ticket=${ticket}`), 403)
  t.equal(await statusOf(`/nowhere?ticket=${ticket}`), 403)
  t.equal(await statusOf(`/streams/s?ticket=${ticket.slice(0, -2)}xx`), 401)
  const [text = ''] = ticket.split('.')
  const said = JSON.parse(Buffer.from(text, 'base64url').toString())
  const forged = Buffer.from(JSON.stringify({ ...said, login: 'admin' })).toString('base64url')
  t.equal(await statusOf(`/streams/s?ticket=${ticket.replace(text, forged)}`), 401)
  ahead = 31_000
  const late = await app.inject({ url: `/streams/s?ticket=${ticket}`, headers: { accept: '*/*' } })
  t.equal(late.statusCode, 401, 'replayed after its time')
  t.notMatch(late.body, text)
  t.notMatch(logged.join(''), text, 'no line of the log holds it')
})

t.test('secrets stand in no answer, no event and no line of the log', async (t) => {
  const logged: string[] = []
  const log = new Writable({
    write(chunk, _encoding, done) {
      logged.push(String(chunk))
      done()
    }
  })
  const { app, store } = await openApp(t, { insecure: false, logLevel: 'trace', logTo: log })
  const json = { ...admin, 'content-type': 'application/json', accept: '*/*' }
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url, headers: json, payload })
  const said = [
    await post('/users', { loginName: 'eve', groups: [], password: 'hunter2-one' }),
    await post('/users', { loginName: 'eve', groups: [], password: 'hunter2-two' }),
    await post('/users/eve/command/reset-password', { newPassword: 'hunter2-three' }),
    await post('/users', { loginName: 7, password: 'hunter2-four' }),
    await app.inject({ url: '/users', headers: { ...json, ...basic('eve', 'hunter2-five') } }),
    await app.inject({ url: '/users', headers: { ...json, ...basic('hunter2-six', 'x') } }),
    await app.inject({ url: '/users', headers: json }),
    await app.inject({ url: '/users/eve', headers: json })
  ]
  const made = await post('/tokens', { name: 'ci', read: ['*'] })
  const secret: string = made.json().token.split('.')[1]
  said.push(await app.inject({ url: '/tokens', headers: json }))
  await store.failures.tell()
  said.push(await app.inject({ url: '/events?system=true&truncated=true&format=ndjson', headers: json }))
  const everything = [...said.map(({ body, headers }) => body + JSON.stringify(headers)), ...logged].join('\n')
  t.match(everything, 'SignInFailed')
  t.notMatch(everything, /hunter2/)
  t.notMatch(everything, secret)
  t.notMatch(everything, Buffer.from('eve:hunter2-five').toString('base64'))
})
