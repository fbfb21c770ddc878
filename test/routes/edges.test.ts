import t from 'tap'
import { buildApp } from '../../routes/index.js'
import { problemKinds } from '../../routes/wire/problems/problem.js'
import { errorCodes } from '../../src/errors.js'
import { Store } from '../../src/store/store.js'
import { append, listen, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

/** A client that accepts problem documents: without this header an error has no body (eventstore-http 1.2). */
const ANY = { accept: '*/*' }

t.test('every problem type has a page', async (t) => {
  const { app } = await openApp(t)
  for (const code of errorCodes) {
    const page = await app.inject(`/problems/${code}`)
    if (!Object.hasOwn(problemKinds, code)) continue
    t.equal(page.statusCode, 200, code)
    t.match(page.body, code)
  }
  t.match((await app.inject({ url: '/problems/nonsense', headers: ANY })).json(), { status: 404 })
})

t.test('a server that is still opening reports that it is not ready, and why', async (t) => {
  const store = new Store({ directory: t.testdir({}) })
  const app = await buildApp(store, { logLevel: 'silent', insecure: true })
  t.teardown(() => app.close())
  t.equal((await app.inject('/livez')).statusCode, 200)
  const ready = await app.inject('/readyz')
  t.equal(ready.statusCode, 503)
  t.match(ready.json(), { status: 'opening', reason: /log/ })
  for (const url of ['/streams/s', '/events', '/streams', '/events/0']) {
    const answer = await app.inject({ url, headers: ANY })
    t.match(answer.json(), { status: 503, code: 'starting', retry: true }, url)
    t.ok(answer.headers['retry-after'])
  }
  t.match((await append(app, 's', { type: 'T' }, ANY)).json(), { status: 503, code: 'starting' })
  await store.open()
  t.match((await app.inject('/readyz')).json(), { status: 'ok' })
})

t.test('a known address answers an unsupported method with 405 and an Allow header', async (t) => {
  const { app } = await openApp(t)
  for (const [url, allow] of [
    ['/streams/s', /GET.*POST/],
    ['/events', /GET.*POST/],
    ['/types', /GET/],
    ['/info', /GET/]
  ] as const) {
    const answer = await app.inject({ method: 'PATCH', url, headers: ANY })
    t.match(answer.json(), { status: 405, code: 'method-not-allowed' }, url)
    t.match(answer.headers.allow, allow, url)
  }
  t.match((await app.inject({ url: '/nowhere', headers: ANY })).json(), { status: 404, code: 'not-found' })
})

t.test('pages of any origin may read, but only allowed origins may write', async (t) => {
  const { app } = await openApp(t, { allowOrigins: ['https://shop.example'] })
  await append(app, 's', { type: 'T' })
  const read = await app.inject({ url: '/streams/s', headers: { origin: 'https://evil.example' } })
  t.equal(read.headers['access-control-allow-origin'], '*')
  t.match(read.headers['access-control-expose-headers'], /ETag.*Daybook-Head.*Request-Id/)
  const preflight = await app.inject({
    method: 'OPTIONS',
    url: '/streams/s',
    headers: { origin: 'https://shop.example', 'access-control-request-method': 'POST' }
  })
  t.equal(preflight.statusCode, 200)
  t.equal(
    preflight.headers['access-control-allow-origin'],
    'https://shop.example',
    'the origin itself, because credentials are allowed'
  )
  t.match(preflight.headers['access-control-allow-methods'], /GET.*POST.*DELETE.*OPTIONS/)
  t.match(preflight.headers['access-control-allow-headers'], /If-Match.*Idempotency-Key/)
  const event = { type: 'T' }
  t.match((await append(app, 's', event, { origin: 'https://evil.example' })).json(), {
    status: 403,
    code: 'origin-refused'
  })
  t.equal((await append(app, 's', event, { origin: 'https://shop.example' })).statusCode, 201)
  t.equal(
    (await append(app, 's', event, { origin: 'http://localhost:2113', host: 'localhost:2113' })).statusCode,
    201,
    'the server’s own origin'
  )
})

t.test('a loopback server accepts only local and configured host names', async (t) => {
  const { app } = await openApp(t, { hosts: ['daybook.test'] })
  for (const host of ['localhost:2113', '127.0.0.1', '[::1]:2113', 'daybook.test:80', 'x.localhost']) {
    t.equal((await app.inject({ url: '/ping', headers: { host } })).statusCode, 200, host)
  }
  for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example']) {
    t.match((await app.inject({ url: '/ping', headers: { host } })).json(), { status: 421, code: 'host-refused' }, host)
  }
})

t.test('every answer has a request id: that of the caller if it is short and printable', async (t) => {
  const { app } = await openApp(t)
  const id = async (given?: string) =>
    (await app.inject({ url: '/ping', headers: given === undefined ? {} : { 'request-id': given } })).headers[
      'request-id'
    ]
  t.ok(await id())
  t.not(await id(), await id())
  t.equal(await id('abc-123'), 'abc-123')
  t.not(await id('x'.repeat(500)), 'x'.repeat(500))
  const problem = await app.inject('/streams/none')
  t.equal(problem.json().requestId, problem.headers['request-id'])
})

t.test('/info names the log, its head and the limits; /metrics counts appends and reads', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  await app.inject('/streams/s')
  t.match((await app.inject('/info')).json(), {
    name: 'daybook',
    log: store.log.id,
    head: 1,
    limits: { event_bytes_max: 4_194_304, batch_events_max: 4096 }
  })
  const { body } = await app.inject('/metrics')
  t.match(body, /^daybook_appended_events_total 2$/m)
  t.match(body, /^daybook_read_events_total 2$/m)
  t.match(body, /^daybook_commit_seconds_count 1$/m)
  t.match(body, /^daybook_append_queue 0$/m)
})

t.test('/stats and /sys/subsystems return the fields that the web UI of EventStoreDB needs', async (t) => {
  const { app } = await openApp(t)
  const queues = async () => Object.values((await app.inject('/stats')).json().es.queue) as Record<string, unknown>[]
  const check = (queue: Record<string, unknown>, appends: number) => {
    const text = ['queueName', 'groupName', 'inProgressMessage', 'lastProcessedMessage']
    const numbers = [
      ...['length', 'lengthCurrentTryPeak', 'lengthLifetimePeak', 'avgItemsPerSecond', 'avgProcessingTime'],
      ...['idleTimePercent', 'totalItemsProcessed']
    ]
    for (const name of text) t.equal(typeof queue[name], 'string', name)
    for (const name of numbers) t.ok(Number.isFinite(queue[name]), `${name} is a number: ${queue[name]}`)
    t.ok('currentIdleTime' in queue && 'currentItemProcessingTime' in queue)
    t.equal(queue.totalItemsProcessed, appends)
  }
  for (const queue of await queues()) check(queue, 0)
  await append(app, 's', { type: 'T' })
  await append(app, 's', { type: 'T' })
  for (const queue of await queues()) check(queue, 2)
  t.same((await app.inject('/sys/subsystems')).json(), [])
  t.same((await app.inject('/stats/tcp')).json(), [])
  t.match((await app.inject('/info')).json(), {
    esVersion: /^\d+\.\d+\.\d+\.\d+$/,
    state: 'leader',
    features: { projections: false, userManagement: false, atomPub: true },
    authentication: { type: 'insecure', properties: null }
  })
})

t.test('listings are paged by name, in byte order', async (t) => {
  const { app, store } = await openApp(t)
  const names = ['b-2', 'a', 'ä', 'B', 'a/1', 'b-1', '$sys', 'z'.repeat(300), '漢-1']
  for (const name of names)
    await store.writer.append({ events: [encodeEvent(name), encodeEvent(name)], conditions: [], kind: 'append' })
  const sorted = names
    .filter((name) => name !== '$sys')
    .sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
  const listed: string[] = []
  for (let url = '/streams?limit=2'; url; ) {
    const page = (await app.inject(url)).json()
    listed.push(...page.streams.map(({ stream }: { stream: string }) => stream))
    url = page.links.next
  }
  t.same(listed, sorted)
  const some = (await app.inject('/streams?prefix=b-&system=true')).json()
  t.match(some.streams, [
    { stream: 'b-1', head: 1 },
    { stream: 'b-2', head: 1 }
  ])
  t.match((await app.inject('/categories')).json().categories, [
    { name: 'b', events: 4 },
    { name: '漢', events: 2 }
  ])
  t.match((await app.inject('/types')).json().types, [{ name: 'T', events: 16 }])
})

t.test('without projections, streams are listed and reads by type scan every event', async (t) => {
  const { app } = await openApp(t, { runProjections: 'none' })
  await append(app, 'cart-1', [{ type: 'A' }, { type: 'B' }])
  t.match((await app.inject('/types')).json(), { status: 409, code: 'index-switched-off' })
  t.equal((await app.inject('/events?type=B')).json().events.length, 1)
  t.equal((await app.inject('/events?category=cart')).json().events.length, 2)
  t.equal((await app.inject('/streams')).json().streams.length, 1)
})

t.test('closing under load completes, and every acknowledged append is kept', async (t) => {
  const { app, url, directory } = await listen(t)
  let acknowledged = 0
  const client = async () => {
    for (;;) {
      const answer = await fetch(`${url}/streams/s`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"type":"T"}'
      }).catch(() => undefined)
      if (answer?.status !== 201) return
      await answer.text()
      if (++acknowledged === 50) void app.close()
    }
  }
  await Promise.all(Array.from({ length: 6 }, client))
  await app.close()
  const store = await new Store({ directory }).open()
  t.ok(store.log.head + 1 >= acknowledged)
  await store.close()
})
