/**
 * Cursors that clients hold when the log loses its end: a client that names the log of its cursor never misses an
 * event.
 */
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { append, ask, openApp } from '../helpers/app.js'
import { cutDirectory } from '../helpers/cut.js'
import { LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'

/** Opens a log that kept events 0 to 3 (0 to 2 of cart-1), lost five, and got nine others in their place. */
async function openCutLog(t: Test) {
  const { directory, log: lost } = await cutDirectory(
    t,
    async ({ app }) => {
      await append(app, 'other', { type: 'T' })
      await append(app, 'cart-1', manyEvents(3))
    },
    async ({ app }) => {
      // The checkpoint of a consumer is what lets the log detect its loss.
      await append(app, 'cart-1', manyEvents(5))
      await ask(app, 'PUT /consumers/c', {}, { source: '/events', from: 'end' })
    }
  )
  const opened = await openApp(t, { directory })
  await append(opened.app, 'cart-1', manyEvents(9))
  const { id: own } = opened.store.log
  const names = (log: string) => ({ 'daybook-log': log })
  return { ...opened, lost, own, names, stranger: randomUUID() }
}

const manyEvents = (count: number) => Array.from({ length: count }, () => ({ type: 'T' }))

/** Checks that a call is refused with log-changed and these members. */
async function expectRefusal(
  t: Test,
  app: FastifyInstance,
  call: string,
  headers: Record<string, string>,
  expected: object
) {
  const answer = await ask(app, call, headers)
  t.equal(answer.statusCode, 409, `${call}: ${answer.body}`)
  t.match(answer.json(), { code: 'log-changed', ...expected }, call)
}

t.test('a cursor of an ancestor log is accepted as far as both logs agree, and refused beyond', async (t) => {
  const { app, lost, own, names } = await openCutLog(t)
  const read = ['/events?after=3', '/events?from=4', '/events?before=4&order=desc', '/events?to=3', '/events?after=-1']
  read.push(
    '/events',
    '/events?from=end',
    '/events?from=-1h',
    '/events?after=3&format=ndjson',
    '/events?after=3&wait=1'
  )
  read.push('/streams/cart-1?after=2', '/streams/cart-1?from=3', '/streams/$ce-cart?after=2', '/streams/$et-T?after=3')
  for (const url of read) t.equal((await ask(app, `GET ${url}`, names(lost))).statusCode, 200, url)
  const log = { log: own, asked: lost, upTo: 3 }
  const beyond = [
    '/events?after=4',
    '/events?from=5',
    '/events?before=5&order=desc',
    '/events?to=4',
    '/events?after=99'
  ]
  beyond.push('/events?after=4&format=ndjson', '/events?after=4&live=true', '/events?after=8&wait=5')
  for (const url of beyond) await expectRefusal(t, app, `GET ${url}`, names(lost), { ...log, cursor: '3' })
  for (const url of ['/streams/cart-1?after=3', '/streams/$ce-cart?after=3', '/streams/cart-1?from=0&to=7']) {
    await expectRefusal(t, app, `GET ${url}`, names(lost), { ...log, cursor: '2' })
  }
  await expectRefusal(t, app, 'GET /streams/$et-T?after=4', names(lost), { ...log, cursor: '3' })
  for (const url of [...read, ...beyond.filter((one) => !/live|99/.test(one))]) {
    t.equal((await ask(app, `GET ${url}`, names(own))).statusCode, 200, `${url} of this log`)
  }
  t.match((await ask(app, 'GET /events?after=99', names(own))).json(), { code: 'cursor-beyond-head' })
})

t.test('a cursor of an unrelated log is refused; a request that has read nothing yet is accepted', async (t) => {
  const { app, own, names, stranger } = await openCutLog(t)
  for (const url of ['/events?after=0', '/streams/cart-1?after=0', '/streams/cart-1?from=1']) {
    const { upTo, cursor, ...rest } = (await ask(app, `GET ${url}`, names(stranger))).json()
    t.match(rest, { status: 409, code: 'log-changed', log: own, asked: stranger }, url)
    t.same([upTo, cursor], [undefined, undefined], 'there is no position to continue from')
  }
  for (const url of ['/events', '/events?after=-1', '/streams/cart-1?from=0', '/events?from=end', '/events?from=-1h']) {
    t.equal((await ask(app, `GET ${url}`, names(stranger))).statusCode, 200, url)
  }
})

t.test('the log can also be named in the query, and an invalid name is refused', async (t) => {
  const { app, lost, own, names, stranger } = await openCutLog(t)
  t.equal((await ask(app, `GET /events?after=3&log=${lost}`)).statusCode, 200)
  await expectRefusal(t, app, `GET /events?after=4&log=${lost}`, {}, { upTo: 3 })
  t.equal((await ask(app, `GET /events?after=4&log=${own}`, names(own))).statusCode, 200)
  const code = async (url: string, headers = {}) => (await ask(app, `GET ${url}`, headers)).json().code
  t.equal(await code(`/events?log=${lost}`, names(own)), 'bad-parameter', 'header and query disagree')
  t.equal(await code('/events?log=x'), 'bad-parameter')
  t.equal(await code(`/events?log=${lost}&log=${own}`), 'bad-parameter')
  t.equal(await code('/events', names('x')), 'bad-header')
  t.equal(await code(`/streams/cart-1/0?log=${stranger}`), 'unknown-parameter', 'a single event has no cursor')
})

t.test('links name this log, whichever log the cursor of the request came from', async (t) => {
  const { app, lost, own } = await openCutLog(t)
  const { links } = (await ask(app, `GET /events?after=1&limit=2&log=${lost}`)).json()
  for (const [name, link] of Object.entries(links as Record<string, string>)) t.match(link, `log=${own}`, name)
  let pages = 0
  for (let url = links.next; url !== undefined; pages++) url = (await ask(app, `GET ${url}`)).json().links.next
  t.ok(pages > 2, 'the links lead beyond the common part of both logs')
  t.notMatch(
    (await ask(app, 'GET /events?after=1&limit=2')).body,
    'log=',
    'links name no log if the request names none'
  )
})

t.test('an event stream that reconnects with a cursor of another history is refused', async (t) => {
  const { app, lost, own } = await openCutLog(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const on = (lastEventId: string, stream: string) =>
    LiveBlocks.open(t, `${url}${stream}?log=${lost}`, { accept: 'text/event-stream', 'last-event-id': lastEventId })
  for (const [stream, last] of [
    ['/events', 3],
    ['/streams/cart-1', 2]
  ] as const) {
    t.equal((await on(String(last + 1), stream)).status, 409, stream)
    const good = await on(String(last), stream)
    t.equal(good.status, 200, stream)
    await good.untilEvents(9)
    t.equal(good.cursors[0], last + 1, 'the first event that the client has not seen')
    good.destroy()
  }
  const header = { accept: 'text/event-stream', 'daybook-log': lost }
  t.equal((await LiveBlocks.open(t, `${url}/events`, { ...header, 'last-event-id': '4' })).status, 409)
  t.equal((await LiveBlocks.open(t, `${url}/events`, { ...header, 'last-event-id': '' })).status, 200)
  const lines = await LiveLines.open(t, `${url}/events?after=3&live=true`, { 'daybook-log': lost })
  await lines.untilEvents(9)
  t.equal(lines.response.headers['daybook-log'], own)
})

t.test('a WebSocket with a cursor of another history is refused before the upgrade', async (t) => {
  const { app, store, lost, stranger } = await openCutLog(t)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  await t.rejects(LiveSocket.open(t, `${url}/events?after=4&log=${lost}`), /409/)
  await t.rejects(LiveSocket.open(t, `${url}/events?after=0&log=${stranger}`), /409/)
  const socket = await LiveSocket.open(t, `${url}/events?after=3&log=${lost}`)
  await socket.untilEvents(9)
  t.equal(socket.socket.readyState, WebSocket.OPEN)
  const [subscription] = store.subscriptions.all()
  t.equal(
    subscription?.query.source,
    '/events',
    'its source does not name the log, so it shares the tail of other readers'
  )
})

t.test('an append with a condition on positions of another log is refused, and nothing is written', async (t) => {
  const { app, store, lost, own, names, stranger } = await openCutLog(t)
  const { head } = store.log
  const write = (log: string, condition: object) =>
    ask(app, 'POST /events', names(log), { events: [{ stream: 's', type: 'T' }], conditions: [condition] })
  const none = { failIfEventsMatch: { items: [{ types: ['Never'] }] } }
  for (const condition of [
    { ...none, after: 4 },
    { stream: 'cart-1', head: 7 }
  ]) {
    for (const log of [lost, stranger]) {
      const problem = { status: 409, code: 'log-changed', asked: log, written: false, retry: false }
      t.match((await write(log, condition)).json(), problem, JSON.stringify(condition))
    }
  }
  const match = { 'if-match': '"7"' }
  for (const call of ['POST /streams/cart-1', 'DELETE /streams/cart-1']) {
    const body = call.startsWith('POST') ? { type: 'T' } : undefined
    const answer = await ask(app, call, { ...names(lost), ...match }, body)
    t.match(answer.json(), { code: 'log-changed', stream: 'cart-1', upTo: 3, cursor: '2', written: false }, call)
  }
  t.equal(store.log.head, head)
  t.equal(
    (await write(lost, { ...none, after: 3 })).statusCode,
    201,
    'a condition within the common part of both logs is valid'
  )
  t.equal((await write(own, { ...none, after: head })).statusCode, 201)
  t.equal((await write(lost, { stream: 'cart-1', head: 'exists' })).statusCode, 201)
  t.match((await write(lost, { stream: 'cart-1', head: 2 })).json(), { status: 412, code: 'wrong-expected-version' })
})

t.test('acknowledgements and resets of a consumer are checked against the log that the request names', async (t) => {
  const { app, lost, names } = await openCutLog(t)
  const make = (from: string) => ask(app, 'PUT /consumers/new', names(lost), { source: '/streams/cart-1', from })
  t.match((await make('4')).json(), { code: 'log-changed', cursor: '2' })
  t.equal((await make('1')).statusCode, 201)
  await ask(app, 'GET /consumers/new/events')
  const acknowledge = (cursor: string) => ask(app, 'POST /consumers/new/ack', names(lost), { cursor, generation: 0 })
  t.match((await acknowledge('5')).json(), { code: 'log-changed', upTo: 3, cursor: '2' })
  t.equal((await acknowledge('2')).statusCode, 200)
  t.match((await ask(app, 'POST /consumers/new/reset', names(lost), { to: 5 })).json(), { code: 'log-changed' })
  t.equal((await ask(app, 'POST /consumers/new/reset', names(lost), { to: 'start' })).statusCode, 200)
})

t.test('pages cached from another history are not valid for this log', async (t) => {
  const urls = ['/events?from=0&limit=5&format=page', '/events?after=2', '/streams/cart-1?after=1', '/events/5']
  const tags: string[] = []
  const seen = async (app: FastifyInstance) => {
    for (const url of urls) tags.push(String((await ask(app, `GET ${url}`)).headers.etag))
  }
  const { directory, log } = await cutDirectory(
    t,
    ({ app }) => append(app, 'cart-1', manyEvents(4)),
    async ({ app }) => {
      await append(app, 'cart-1', manyEvents(4))
      await seen(app)
      await ask(app, 'PUT /consumers/c', {}, { source: '/events', from: 'end' })
    }
  )
  const { app } = await openApp(t, { directory })
  await append(app, 'cart-1', manyEvents(4)) // as many events as before
  await ask(app, 'PUT /consumers/c', {}, { source: '/events', from: 'end' })
  for (const [i, url] of urls.entries()) {
    const answer = await ask(app, `GET ${url}`, { 'if-none-match': tags[i] as string })
    t.equal(answer.statusCode, 200, `${url}: its ETag is another one`)
    t.match(answer.headers.vary, /events\/5/.test(url) ? /Accept/ : /Daybook-Log/, url)
  }
  // A cached page does not answer a request that names another log.
  await ask(app, 'GET /events?after=4')
  await expectRefusal(t, app, 'GET /events?after=4', { 'daybook-log': log }, { cursor: '3' })
})

t.test('the server shows the earlier identities of its log', async (t) => {
  const { app, lost, own } = await openCutLog(t)
  for (const url of ['/', '/info']) {
    const { log, ancestors } = (await ask(app, `GET ${url}`, { accept: 'application/json' })).json()
    t.same({ log, ancestors }, { log: own, ancestors: [{ log: lost, upTo: 3 }] }, url)
  }
})
