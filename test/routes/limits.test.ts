/** The limits of one address, and of requests that are too large or too slow. */
import { Agent, get } from 'node:http'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, listen, openApp } from '../helpers/app.js'
import { admin, basic } from '../helpers/people.js'
import { listenRaw } from '../helpers/raw.js'

const LOAD = { connections: 1000, connectionsPerAddress: 0, requestsPerSecond: 0, requestsInFlight: 1000 }

const ping = 'GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n'
const post =
  'POST /streams/s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"type":"T"}'

t.test(
  'a connection beyond the limit gets 429, and its request is not handled; other connections continue',
  async (t) => {
    const { app, store, connect } = await listenRaw(t, { load: { ...LOAD, connectionsPerAddress: 3 } })
    const kept = [connect(), connect(), connect()]
    for (const socket of kept) {
      socket.write(ping)
      await socket.until(/200 OK/)
    }
    const { head } = store.log
    const fourth = connect()
    fourth.write(post)
    const answer = await fourth.closed
    t.match(answer, /^HTTP\/1\.1 429 [\s\S]*too-many-connections/)
    t.match(answer, /\r\nRetry-After: \d/i)
    // The writer commits appends in order, so an earlier append would be in the log before this one.
    await append(app, 's', { type: 'Fence' })
    t.equal(store.log.head, head + 1, 'only this event was appended')
    kept[0]?.destroy()
    await kept[0]?.closed
    kept[1]?.write(ping)
    await kept[1]?.until(/200 OK[\s\S]*200 OK/)
    // The server notices the end of the first connection a little later than the client.
    for (;;) {
      const again = connect()
      again.write(ping)
      const accepted = await Promise.race([
        again.until(/200 OK/).catch(() => undefined),
        again.closed.then(() => undefined)
      ])
      again.destroy()
      if (accepted !== undefined) break
    }
    t.pass('a new connection is accepted again')
  }
)

t.test(
  'connections are counted per address',
  { skip: process.platform === 'linux' ? false : 'this machine has one loopback address' },
  async (t) => {
    const { connect } = await listenRaw(t, { load: { ...LOAD, connectionsPerAddress: 1 } })
    const one = connect()
    one.write(ping)
    await one.until(/200 OK/)
    t.match(await connect().closed, /^HTTP\/1\.1 429/)
    const other = connect('127.0.0.2')
    other.write(ping)
    await other.until(/200 OK/)
    t.pass('another address is accepted')
    for (const socket of [one, other]) socket.destroy()
  }
)

t.test('requests are counted per address, except health checks', async (t) => {
  const { app } = await openApp(t, { load: { ...LOAD, requestsPerSecond: 3 } })
  const statusOf = async (remoteAddress: string, url = '/streams') =>
    (await app.inject({ url, remoteAddress })).statusCode
  while ((await statusOf('10.0.0.1')) !== 429);
  t.equal(await statusOf('10.0.0.2'), 200)
  for (let i = 0; i < 10; i++) t.equal(await statusOf('10.0.0.1', '/readyz'), 200)
  while ((await statusOf('2001:db8::1')) !== 429);
  t.equal(await statusOf('2001:db8::2'), 429, 'IPv6 clients are counted per network')
})

t.test('an address beyond its request rate gets 429 with Retry-After, and is served again later', async (t) => {
  const { url } = await listen(t, { load: { ...LOAD, requestsPerSecond: 5 } })
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const ask = () =>
    new Promise<{ status: number; after: string | undefined; text: string }>((resolve, reject) => {
      get(`${url}/streams`, { agent }, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk) => (text += chunk))
        const { statusCode: status = 0, headers } = response
        response.on('end', () => resolve({ status, after: headers['retry-after'], text }))
      }).on('error', reject)
    })
  const answers = await Promise.all(Array.from({ length: 40 }, ask))
  const refused = answers.filter(({ status }) => status === 429)
  t.ok(refused.length > 0, `${refused.length} of 40 were refused`)
  t.match(JSON.parse(refused[0]?.text ?? ''), { code: 'too-many-requests', status: 429, limit: 5 })
  t.equal(refused[0]?.after, '1')
  while ((await ask()).status === 429);
  t.pass('the address is served again')
})

t.test('a client that sends its request byte by byte is closed, and does not delay others', async (t) => {
  const { app, connect } = await listenRaw(t)
  t.equal(app.server.headersTimeout, limits.headers_timeout_ms, 'the time that headers may take')
  app.server.headersTimeout = 300
  const slow = Array.from({ length: 20 }, () => connect())
  let going = true
  const drip = (async () => {
    for (const byte of 'GET /ping HTTP/1.1\r\nHost: localhost\r\n'.repeat(1000)) {
      if (!going) return
      for (const socket of slow) socket.write(byte)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })()
  const quick = connect()
  quick.write('GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await quick.until(/200 OK/)
  for (const socket of slow) await socket.closed
  going = false
  await drip
  t.pass('all were closed')
})

t.test('behind a trusted proxy the client address is the entry of the proxy, not an earlier entry', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, trustProxy: true })
  const headers = { ...basic('admin', 'guess'), 'x-forwarded-for': '1.2.3.4, 10.0.0.7' }
  t.equal((await app.inject({ url: '/users', headers })).statusCode, 401)
  await store.failures.flush()
  const { events } = (await app.inject({ url: '/streams/$audit', headers: admin })).json()
  t.match(events.at(-1), { type: 'SignInFailed', data: { from: '10.0.0.7' } })
})

t.test('without --trust-proxy the forwarding headers of a client are ignored', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const forwarded = { 'x-forwarded-for': '1.2.3.4', 'x-forwarded-host': 'evil.example', 'x-forwarded-proto': 'https' }
  const atom = { accept: 'application/vnd.eventstore.atom+json', ...forwarded }
  await app.inject({ url: '/users', headers: { ...atom, ...basic('admin', 'guess') } })
  await store.failures.flush()
  const { body } = await app.inject({ url: '/streams/$audit?embed=body', headers: { ...atom, ...admin } })
  t.match(body, /SignInFailed/)
  t.match(body, /127\.0\.0\.1/)
  t.notMatch(body, /1\.2\.3\.4|evil\.example|https:/)
})

t.test('a body, a token scope or an address that is too large is refused', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  const headers = { ...admin, 'content-type': 'application/json', accept: '*/*' }
  const payload = JSON.stringify({ loginName: 'x', password: 'x', fullName: 'x'.repeat(limits.small_body_bytes_max) })
  for (const url of ['/users', '/tokens', '/tickets']) {
    const answer = await app.inject({ method: 'POST', url, headers, payload })
    t.match(answer.json(), { status: 413, code: 'body-too-large', limit: limits.small_body_bytes_max }, url)
  }
  const streams = Array.from({ length: limits.token_streams_max + 1 }, (_, i) => `s-${i}`)
  const token = await app.inject({ method: 'POST', url: '/tokens', headers, payload: { name: 'x', read: streams } })
  t.match(token.json(), { status: 400, code: 'invalid-body' })
  const long = await app.inject({ url: `/users/${'x'.repeat(limits.url_bytes_max)}`, headers })
  t.ok(long.statusCode < 500 && long.statusCode >= 400)
})
