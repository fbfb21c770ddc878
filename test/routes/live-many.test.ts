/**
 * Several subscriptions on one WebSocket: each behaves as on a socket of its own, and ends without affecting the
 * others.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { append, ask, listen } from '../helpers/app.js'
import { type Frame, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'
import { admin, setRules, withAnn } from '../helpers/people.js'

/** The frames of one subscription, in order. */
function framesOf(socket: LiveSocket, sub: string): Frame[] {
  return socket.all.filter((frame) => frame.sub === sub)
}

function dataOf(frames: readonly Frame[]): unknown[] {
  return frames.flatMap(({ event, events }) => event ?? events ?? []).map(({ data }) => data)
}

function untilData(socket: LiveSocket, sub: string, count: number): Promise<void> {
  return socket.until(`${count} events of ${sub}`, () => dataOf(framesOf(socket, sub)).length >= count)
}

async function untilEnded(socket: LiveSocket, sub: string): Promise<Frame> {
  const last = () => framesOf(socket, sub).find(({ frame }) => frame === 'ended')
  await socket.until(`the end of ${sub}`, () => last() !== undefined)
  return last() as Frame
}

function subscribe(socket: LiveSocket, sub: string, source: string, more: object = {}): void {
  socket.send({ frame: 'subscribe', sub, source, ...more })
}

async function put(app: FastifyInstance, stream: string, from: number, to: number): Promise<void> {
  for (let data = from; data < to; data++) {
    const { statusCode, body } = await append(app, stream, { type: 'T', data })
    if (statusCode !== 201) throw new Error(body)
  }
}

function numbersBelow(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function openSocket(t: Test, url: string, headers: Record<string, string> = {}): Promise<LiveSocket> {
  return LiveSocket.open(t, `${url}/subscriptions`, headers)
}

t.test('two streams and a consumer share one socket, each complete and in order', async (t) => {
  const { app, store, url } = await listen(t)
  await put(app, 'a', 0, 5)
  await put(app, 'b', 0, 5)
  await ask(app, 'PUT /consumers/c', {}, { source: '/streams/a' })
  const socket = await openSocket(t, url)
  const alone = await LiveSocket.open(t, `${url}/streams/a`)
  subscribe(socket, 'one', '/streams/a')
  subscribe(socket, 'zwei "2"', '/events?stream=b&batch=3')
  subscribe(socket, 'c', '/consumers/c/events')
  for (const sub of ['one', 'zwei "2"', 'c']) await untilData(socket, sub, 5)
  await Promise.all([put(app, 'a', 5, 40), put(app, 'b', 5, 40)])
  for (const sub of ['one', 'zwei "2"', 'c']) {
    await untilData(socket, sub, 40)
    t.same(dataOf(framesOf(socket, sub)), numbersBelow(40), sub)
    t.equal(framesOf(socket, sub)[0]?.frame, 'subscribed', `${sub}: its first frame is "subscribed"`)
  }
  t.ok(
    framesOf(socket, 'zwei "2"').some(({ events }) => events?.length === 3),
    'events come in batches'
  )
  t.ok(
    socket.all.every(({ sub }) => sub !== undefined),
    'every frame names its subscription'
  )
  await alone.untilEvents(40)
  const bare = framesOf(socket, 'one').map(({ sub: _, ...frame }) => frame)
  const events = (all: readonly Frame[]) => all.filter(({ frame }) => frame === 'event')
  t.same(events(bare), events(alone.all), 'its events are those of a socket of its own')
  t.ok(
    alone.all.every((frame) => !('sub' in frame)),
    'frames of an unnamed subscription have no name'
  )

  socket.send({ frame: 'ack', sub: 'c', cursor: '7' })
  await socket.until('the acknowledgement is confirmed', () =>
    framesOf(socket, 'c').some(({ frame }) => frame === 'acked')
  )
  t.equal(store.consumers.get('c').cursor, 7)
  socket.send({ frame: 'ack', sub: 'one', cursor: '7' })
  await socket.untilFrame('error')
  t.match(socket.all.at(-1), { frame: 'error', code: 'bad-frame', sub: 'one' }, 'only a consumer can be acknowledged')
})

t.test('a socket with an unnamed subscription carries named ones until the unnamed one ends', async (t) => {
  const { app, store, url } = await listen(t)
  await put(app, 'a', 0, 3)
  const socket = await LiveSocket.open(t, `${url}/streams/a?to=4`)
  subscribe(socket, 'x', '/streams/a?after=0', { credit: 1 })
  await untilData(socket, 'x', 1)
  await socket.untilEvents(4)
  t.same(dataOf(socket.all.filter(({ sub }) => sub === undefined)), [0, 1, 2])
  t.same(dataOf(framesOf(socket, 'x')), [1], 'each subscription has its own credit')
  socket.send({ frame: 'credit', sub: 'x', events: 10 })
  await untilData(socket, 'x', 2)
  await put(app, 'a', 3, 5)
  t.same(await socket.closed, { code: 1000, reason: 'complete' })
  t.match(socket.all.at(-1), { frame: 'closing', code: 'complete', cursor: '4' })
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
})

t.test('unsubscribing ends a subscription and frees its name', async (t) => {
  const { app, store, url } = await listen(t)
  await put(app, 'a', 0, 3)
  await ask(app, 'PUT /consumers/c', {}, { source: '/streams/a' })
  const socket = await openSocket(t, url)
  subscribe(socket, 'c', '/consumers/c/events')
  subscribe(socket, 'other', '/streams/a')
  await untilData(socket, 'c', 3)
  subscribe(socket, 'c', '/streams/a')
  await socket.untilFrame('error')
  t.match(
    socket.all.at(-1),
    { code: 'bad-frame', sub: 'c', detail: /another subscription named "c"/ },
    'a name in use is refused'
  )
  socket.send({ frame: 'unsubscribe', sub: 'c' })
  t.match(await untilEnded(socket, 'c'), { code: 'complete', status: 200, cursor: '2' })
  socket.send({ frame: 'unsubscribe', sub: 'c' })
  socket.send({ frame: 'credit', sub: 'c', events: 1 })
  socket.send({ frame: 'credit', events: 1 })
  await socket.untilFrame('error', 4)
  t.equal(store.subscriptions.size, 1, 'the other subscription continues')
  // Both frames are sent at once, so the first steps of the subscription must be undone.
  const before = socket.all.length
  subscribe(socket, 'c', '/consumers/c/events')
  socket.send({ frame: 'unsubscribe', sub: 'c' })
  await socket.until('the subscription has ended', (all) => all.slice(before).some(({ frame }) => frame === 'ended'))
  const free = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await free.untilEvents(3)
  const again = socket.all.length
  subscribe(socket, 'c', '/streams/a?after=1')
  await put(app, 'a', 3, 4)
  await socket.until('the last event', () => dataOf(framesOf(socket, 'c')).at(-1) === 3)
  t.same(dataOf(socket.all.slice(again).filter(({ sub }) => sub === 'c')), [2, 3])
})

t.test('a refused subscription ends with the members of its problem', async (t) => {
  const { url, ann, bob } = await withAnn(t)
  const socket = await openSocket(t, url, bob)
  for (const [source, expected] of [
    ['/nothing', { code: 'not-found', status: 404 }],
    ['/streams/a/0', { code: 'not-found' }],
    ['//elsewhere/streams/a', { code: 'not-found' }],
    ['/streams/%zz', { code: 'not-found' }],
    ['/consumers/none/events', { code: 'consumer-not-found', status: 404 }],
    ['/streams/secret-1', { code: 'not-permitted', status: 403 }],
    ['/streams/secret-1?limit=x', { code: 'not-permitted' }],
    ['/streams/order-1?limit=0', { code: 'bad-parameter', parameter: 'limit', status: 400 }],
    ['/streams/order-1?limti=1', { code: 'unknown-parameter', parameter: 'limti' }],
    ['/streams/order-1?ticket=x', { code: 'unknown-parameter', parameter: 'ticket' }],
    ['/streams/order-1?after=x', { code: 'bad-cursor', parameter: 'after' }],
    ['/streams/order-1?order=desc', { code: 'bad-parameter', parameter: 'order' }],
    ['/events?type.regex=(', { code: 'bad-expression' }],
    ['/streams/order-1?atLeast=1000', { code: 'not-there-yet', status: 409 }]
  ] as const) {
    subscribe(socket, source.slice(0, 60), source)
    const frame = await untilEnded(socket, source.slice(0, 60))
    t.match(frame, { ...expected, title: String, detail: String, cursor: undefined }, source)
  }
  for (const frame of [
    { frame: 'subscribe', sub: '', source: '/events' },
    { frame: 'subscribe', sub: 'x'.repeat(65), source: '/events' },
    { frame: 'subscribe', source: '/events' },
    { frame: 'subscribe', sub: 'x', source: 7 },
    { frame: 'subscribe', sub: 'x', source: '/events', credit: 0 },
    { frame: 'subscribe', sub: 'x', source: '/events', after: '7' },
    { frame: 'unsubscribe' }
  ]) {
    const before = socket.all.length
    socket.send(frame)
    await socket.until('an answer', (all) => all.length > before)
    t.match(socket.all.at(-1), { frame: 'error', code: 'bad-frame' }, JSON.stringify(frame).slice(0, 80))
  }
  subscribe(socket, 'good', '/streams/order-1')
  await socket.until('a later subscription works', () =>
    framesOf(socket, 'good').some(({ frame }) => frame === 'caughtUp')
  )
  await t.rejects(openSocket(t, url), /401/, 'without credentials the socket is refused')
  await t.rejects(LiveSocket.open(t, `${url}/subscriptions?after=7`, ann), /400/, 'the socket takes no parameters')
})

t.test('a revoked right ends the subscription that needs it, and no other subscription', async (t) => {
  const { app, store, url, ann } = await withAnn(t)
  const socket = await openSocket(t, url, ann)
  subscribe(socket, 'secret', '/streams/secret-1')
  subscribe(socket, 'order', '/streams/order-1')
  await socket.untilFrame('caughtUp', 2)
  await setRules(app, 'secret-1', { read: 'bob' })
  t.match(await untilEnded(socket, 'secret'), { code: 'not-permitted', status: 403, cursor: '0' })
  await append(app, 'order-1', { type: 'Paid' }, admin)
  await socket.until('the other subscription continues', () =>
    framesOf(socket, 'order').some(({ event }) => event?.type === 'Paid')
  )
  t.equal(store.subscriptions.size, 1)
})

t.test(
  'a ticket for /subscriptions opens a socket; a ticket for a stream gives access to that stream only',
  async (t) => {
    const { app, url, ann } = await withAnn(t)
    const ticketFor = async (source: string) => (await ask(app, 'POST /tickets', ann, { source })).json().links.live
    const socket = await LiveSocket.open(t, url + (await ticketFor('/subscriptions')))
    subscribe(socket, 's', '/streams/secret-1')
    await socket.until('an event', () => framesOf(socket, 's').some(({ frame }) => frame === 'event'))
    const narrow = await LiveSocket.open(t, url + (await ticketFor('/streams/order-1')))
    subscribe(narrow, 's', '/streams/secret-1')
    t.match(await untilEnded(narrow, 's'), { code: 'not-permitted', source: '/streams/order-1' })
    const ticket = (await ticketFor('/streams/order-1')).split('?')[1]
    await t.rejects(LiveSocket.open(t, `${url}/subscriptions?${ticket}`), /403/)
  }
)

t.test('a subscription beyond the limit is refused, and a broken socket frees all subscriptions', async (t) => {
  const { app, store, url } = await listen(t)
  await ask(app, 'PUT /consumers/c', {}, { source: '/streams/a' })
  const socket = await openSocket(t, url)
  subscribe(socket, '0', '/consumers/c/events')
  for (let i = 1; i <= limits.socket_subscriptions_max; i++) subscribe(socket, String(i), `/streams/s${i}`)
  const last = String(limits.socket_subscriptions_max)
  t.match(await untilEnded(socket, last), {
    code: 'limit-reached',
    status: 409,
    limit: limits.socket_subscriptions_max
  })
  await socket.untilFrame('caughtUp', limits.socket_subscriptions_max)
  t.equal(store.subscriptions.size, limits.socket_subscriptions_max)
  await put(app, 's99', 0, 1)
  await untilData(socket, '99', 1)
  socket.socket.terminate()
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
  const next = await LiveSocket.open(t, `${url}/consumers/c/events`)
  await next.untilFrame('caughtUp')
})

t.test('a reader that is too slow loses its socket, and the buffer of the socket stays bounded', async (t) => {
  const { app, store, url } = await listen(t, { drainMs: 1000 })
  const socket = await openSocket(t, url)
  const subs = numbersBelow(20).map(String)
  for (const sub of subs) subscribe(socket, sub, '/streams/a')
  await socket.untilFrame('caughtUp', subs.length)
  socket.socket.pause()
  let most = 0
  const text = 'x'.repeat(64 * 1024)
  for (let i = 0; store.subscriptions.size > 0; i++) {
    if (i > 2000) throw new Error('the socket was never closed')
    await append(
      app,
      'a',
      Array.from({ length: 8 }, () => ({ type: 'T', data: text }))
    )
    for (const { connection } of store.subscriptions.all()) most = Math.max(most, connection.waiting)
  }
  t.ok(most > 0, 'the buffer was used')
  t.ok(most < 4 * limits.connection_buffer_bytes_max, `${most} bytes were buffered`)
  socket.socket.resume()
  const { code } = await socket.closed
  if (code === 1013) {
    t.match(socket.all.at(-1), { frame: 'closing', code: 'too-slow', cursor: undefined })
    for (const sub of subs) {
      const frames = framesOf(socket, sub)
      t.match(frames.at(-1), { frame: 'ended', code: 'too-slow' })
      const sent = frames.filter(({ event }) => event !== undefined).at(-1)
      t.equal(frames.at(-1)?.cursor, sent?.cursor ?? '-1', 'the cursor is that of the last event sent')
    }
  } else t.equal(code, 1006)
})

t.test('ten subscriptions on one socket all receive every large event', async (t) => {
  const { app, url } = await listen(t)
  const text = 'x'.repeat(64 * 1024)
  for (let i = 0; i < 5; i++)
    await append(
      app,
      'a',
      Array.from({ length: 8 }, () => ({ type: 'T', data: text }))
    )
  const socket = await openSocket(t, url)
  const subs = numbersBelow(10).map(String)
  for (const sub of subs) subscribe(socket, sub, '/streams/a')
  await socket.until('all events', () => subs.every((sub) => dataOf(framesOf(socket, sub)).length >= 40))
  for (const sub of subs) {
    const numbers = framesOf(socket, sub).flatMap(({ event }) => event?.cursor ?? [])
    t.same(numbers, numbersBelow(40).map(String), sub)
  }
})

t.test('a stopping server sends each subscription its cursor, then closes the socket', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 'a', 0, 2)
  const [socket, idle] = [await openSocket(t, url), await openSocket(t, url)]
  subscribe(socket, 'x', '/streams/a')
  await untilData(socket, 'x', 2)
  const closing = app.close()
  for (const one of [socket, idle]) t.same(await one.closed, { code: 1001, reason: 'stopping' })
  t.match(framesOf(socket, 'x').at(-1), { frame: 'ended', code: 'stopping', cursor: '1' })
  t.match(idle.all, [{ frame: 'closing', code: 'stopping' }])
  await closing
})

t.test('a plain GET of /subscriptions answers 501, and pages of other origins get no socket', async (t) => {
  const { app, url } = await listen(t)
  t.equal((await ask(app, 'GET /subscriptions')).statusCode, 501)
  await t.rejects(openSocket(t, url, { origin: 'https://elsewhere.example' }), /403/)
})

t.test('behind a proxy a source works with and without the prefix', async (t) => {
  const { app, url } = await listen(t, { trustProxy: true })
  await put(app, 'a', 0, 1)
  const socket = await openSocket(t, url, { 'x-forwarded-prefix': '/store' })
  subscribe(socket, 'with', '/store/streams/a')
  subscribe(socket, 'without', '/streams/a')
  for (const sub of ['with', 'without']) await untilData(socket, sub, 1)
  t.same(dataOf(framesOf(socket, 'with')), [0])
})
