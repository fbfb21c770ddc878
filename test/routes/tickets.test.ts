/**
 * Tickets: for one source with its filters, for reading, for a short time, and no longer than the credential that was
 * used to get them.
 */
import { Writable } from 'node:stream'
import t from 'tap'
import { append, listen, openApp } from '../helpers/app.js'
import { movedClock, StillClock } from '../helpers/clock.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, asJson, bearer, makeToken, makeUser, setRules, withAnn } from '../helpers/people.js'
import { CLAIMS, provider } from '../helpers/provider.js'

t.test('a ticket opens its source with its filters, in every form', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  for (const stream of ['secret', 'other']) await append(app, stream, { type: 'T' }, admin)
  await setRules(app, 'secret', { read: 'ann' })
  const headers = { ...ann, 'content-type': 'application/json' }
  const payload = { source: '/streams/secret?type=T' }
  const { links, ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers, payload })).json()
  t.equal((await app.inject(links.live)).json().events.length, 1)
  for (const more of ['from=start&limit=1', 'order=desc', 'format=ndjson']) {
    t.equal((await app.inject(`${links.live}&${more}`)).statusCode, 200, more)
  }
  for (const path of ['/streams/secret', '/streams/secret?type=U', '/streams/secret/0', '/events?type=T', '/info']) {
    const at = `${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`
    const answer = await app.inject({ url: at, headers: { accept: '*/*' } })
    t.equal(answer.statusCode, 403, path)
  }
  const lines = await fetch(`${url}${links.live}&live=true&limit=1`)
  t.match(await lines.text(), /"type":"T"/)
  t.notMatch((await app.inject(links.live)).body, ticket, 'no link of the page contains the ticket')
  await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
  t.equal((await app.inject(links.live)).statusCode, 401, 'the ticket is valid only as long as the account')
})

t.test('a ticket is limited to its time, its source and reading, and is not logged', async (t) => {
  const clock = movedClock()
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
  const claims = JSON.parse(Buffer.from(text, 'base64url').toString())
  const forged = Buffer.from(JSON.stringify({ ...claims, login: 'admin' })).toString('base64url')
  t.equal(await statusOf(`/streams/s?ticket=${ticket.replace(text, forged)}`), 401)
  clock.ahead = 31_000
  const late = await app.inject({ url: `/streams/s?ticket=${ticket}`, headers: { accept: '*/*' } })
  t.equal(late.statusCode, 401, 'used again after its time')
  t.notMatch(late.body, text)
  t.notMatch(logged.join(''), text, 'no line of the log contains it')
})

t.test('the next change of an account revokes the tickets that it requested', async (t) => {
  const { app, ann } = await withAnn(t)
  const payload = { source: '/streams/secret-1' }
  const ask = async () =>
    (await app.inject({ method: 'POST', url: '/tickets', headers: asJson(ann), payload })).json().links.live
  const first = await ask()
  t.equal((await app.inject(first)).statusCode, 200)
  await app.inject({ method: 'PUT', url: '/users/ann', headers: asJson(admin), payload: { fullName: 'Ann' } })
  t.equal((await app.inject(first)).statusCode, 401, 'any change ends it')
  const second = await ask()
  t.equal((await app.inject(second)).statusCode, 200)
  await setRules(app, 'secret-1', { read: 'bob' })
  t.equal((await app.inject(second)).statusCode, 403, 'rules are checked on each use')
})

t.test(
  'a ticket requested with a token covers only the streams of the token, and expires with the token',
  async (t) => {
    const clock = movedClock()
    const { app, store, ann } = await withAnn(t, { clock })
    const expires = clock.now() + 20_000
    const token = await makeToken(store, 'ann', { read: ['order-*'] }, expires)
    const ask = (payload: object) =>
      app.inject({ method: 'POST', url: '/tickets', headers: asJson(bearer(token.text)), payload })
    const answer = await ask({ source: '/events', seconds: 600 })
    t.equal(answer.headers['cache-control'], 'no-store')
    const ticket = answer.json()
    t.ok(Date.parse(ticket.expires) <= expires, 'no longer than the token')
    const streams = async () => {
      const { events } = (await app.inject(ticket.links.live)).json()
      return events.map(({ stream }: { stream: string }) => stream)
    }
    t.same(await streams(), ['order-1'], 'although Ann may read more')
    t.equal((await ask({ source: '/streams/secret-1' })).statusCode, 403)
    clock.ahead = 21_000
    t.equal((await app.inject(ticket.links.live)).statusCode, 401)
    clock.ahead = 0
    t.same(await streams(), ['order-1'])
    await app.inject({ method: 'DELETE', url: `/tokens/${token.id}`, headers: ann })
    t.equal((await app.inject(ticket.links.live)).statusCode, 401)
  }
)

t.test('a ticket expires after its time, even if the clock jumps', async (t) => {
  const clock = new StillClock()
  const { app, ann } = await withAnn(t, { clock })
  const ask = async () => {
    const payload = { source: '/streams/secret-1' }
    const answer = await app.inject({ method: 'POST', url: '/tickets', headers: asJson(ann), payload })
    return answer.json().links.live as string
  }
  const statusOf = async (url: string) => (await app.inject({ url, headers: { accept: '*/*' } })).statusCode
  const ticket = await ask()
  clock.ahead = -3_600_000
  clock.move(59_000)
  t.equal(await statusOf(ticket), 200)
  clock.move(1000)
  t.equal(await statusOf(ticket), 401, 'setting the clock back by an hour does not extend it')
  const other = await ask()
  clock.ahead = 0
  t.equal(await statusOf(other), 401, 'a sleep of the machine, which only the clock shows, does not extend it')
})

t.test('a change of an account revokes its tickets, also when both happen in the same millisecond', async (t) => {
  const { app, ann } = await withAnn(t, { clock: new StillClock() })
  const payload = { source: '/streams/secret-1' }
  const { links } = (await app.inject({ method: 'POST', url: '/tickets', headers: asJson(ann), payload })).json()
  t.equal((await app.inject(links.live)).statusCode, 200)
  const change = { newPassword: 'rabbit' }
  const url = '/users/ann/command/reset-password'
  t.equal((await app.inject({ method: 'POST', url, headers: asJson(admin), payload: change })).statusCode, 200)
  t.equal((await app.inject(links.live)).statusCode, 401)
})

t.test(
  'a connection opened with a ticket stays open after the ticket expires; an expired ticket opens no connection',
  async (t) => {
    const clock = movedClock()
    const { app, url, ann } = await withAnn(t, { clock })
    const payload = { source: '/streams/secret-1' }
    const { ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers: asJson(ann), payload })).json()
    await t.rejects(LiveSocket.open(t, `${url}/streams/order-1?ticket=${ticket}`), /refused with 403/)
    const socket = await LiveSocket.open(t, `${url}/streams/secret-1?ticket=${ticket}`)
    await socket.untilEvents(1)
    clock.ahead = 61_000
    await t.rejects(LiveSocket.open(t, `${url}/streams/secret-1?ticket=${ticket}`), /refused with 401/)
    await append(app, 'secret-1', { type: 'Later' }, admin)
    await socket.untilEvents(2)
    await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
    t.match(await socket.closed, { code: 4401 })
  }
)

t.test('a ticket of a provider’s user and its connections end with the token of the provider', async (t) => {
  const clock = movedClock()
  const { sign, pem } = await provider()
  const { app, store, url } = await listen(t, { insecure: false, clock, webTokens: { publicKey: pem, ...CLAIMS } })
  await append(app, 's', { type: 'T' }, admin)
  await setRules(app, 's', { read: 'sales' })
  const token = await sign({}, { exp: Math.floor(clock.now() / 1000) + 60 })
  const payload = { source: '/streams/s', seconds: 600 }
  const asked = await app.inject({ method: 'POST', url: '/tickets', headers: asJson(bearer(token)), payload })
  const { ticket } = asked.json()
  const statusOf = async () => (await app.inject({ url: `/streams/s?ticket=${ticket}`, headers: asJson() })).statusCode
  t.equal(await statusOf(), 200)
  const socket = await LiveSocket.open(t, `${url}/streams/s?ticket=${ticket}`)
  await socket.untilEvents(1)
  clock.ahead = 61_000
  t.match(await socket.closed, { code: 4401 })
  t.equal(await statusOf(), 401)
  clock.ahead = 0
  t.equal(await statusOf(), 200)
  await makeUser(store, 'carol')
  t.equal(await statusOf(), 401, 'a local account of that name is another user')
})
