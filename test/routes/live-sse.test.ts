import { once } from 'node:events'
import { EventSource } from 'eventsource'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../routes/index.js'
import { Store } from '../../src/store/store.js'
import { append, listen } from '../helpers/app.js'
import { send } from '../helpers/http.js'
import { type Event, type Frame, fastClock, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { eventually } from '../helpers/live-events.js'

/** Events of one type, numbered in their data. */
function numbered(type: string, count: number, from = 0): { type: string; data: number }[] {
  return Array.from({ length: count }, (_, i) => ({ type, data: from + i }))
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

/** Opens an EventSource, the client of browsers, and collects the data of its events. */
function openEventSource(t: Test, url: string) {
  const source = new EventSource(url)
  t.teardown(() => source.close())
  const data: unknown[] = []
  const at: string[] = []
  const named: string[] = []
  source.onmessage = (event) => {
    data.push(JSON.parse(event.data).data)
    at.push(event.lastEventId)
  }
  for (const name of ['caughtUp', 'checkpoint', 'closing']) source.addEventListener(name, () => named.push(name))
  const upTo = (last: number) => eventually(`event ${last} at ${url}`, () => data.at(-1) === last)
  return { source, data, at, named, upTo }
}

/** A server that stops and starts again at the same address, over the same directory. */
class Returning {
  readonly #directory: string
  #port = 0
  #app: FastifyInstance | undefined
  store!: Store

  constructor(t: Test) {
    this.#directory = t.testdir({})
    t.teardown(() => this.#app?.close())
  }

  get app(): FastifyInstance {
    return this.#app as FastifyInstance
  }

  async start(): Promise<string> {
    this.store = await new Store({ directory: this.#directory }).open()
    this.#app = await buildApp(this.store, { logLevel: 'silent', insecure: true })
    const url = await this.#app.listen({ host: '127.0.0.1', port: this.#port })
    this.#port = Number(new URL(url).port)
    return url
  }

  /** Cuts all connections; the server keeps running. */
  async cut(): Promise<void> {
    this.app.server.closeAllConnections()
    await eventually('no subscription is left', () => this.store.subscriptions.size === 0)
  }
}

t.test('EventSource reconnects from a URL with `from` and misses nothing', async (t) => {
  const server = new Returning(t)
  const url = await server.start()
  let next = 0
  const put = async (count: number) => {
    for (const event of numbered('T', count, next)) await append(server.app, 's-1', event)
    next += count
  }
  await put(10)
  const clients = [
    { from: 0, client: openEventSource(t, `${url}/streams/s-1?from=start`) },
    { from: 4, client: openEventSource(t, `${url}/events?from=4`) },
    { from: 4, client: openEventSource(t, `${url}/streams/$ce-s?after=3`) },
    { from: 0, client: openEventSource(t, `${url}/streams/s-1?from=-1h&type=T`) },
    // The connection breaks before the first event comes.
    { from: 10, client: openEventSource(t, `${url}/streams/s-1?from=end`) },
    { from: 10, client: openEventSource(t, `${url}/events?from=end&type.prefix=T`) }
  ]
  for (const { client } of clients) await eventually('all clients are live', () => client.named.includes('caughtUp'))
  // Cut while no events come, while events come, and by a server stop with a closing event.
  await server.cut()
  await put(5)
  for (const { client } of clients) await client.upTo(14)
  const writing = put(30)
  await server.cut()
  await writing
  for (const { client } of clients) await client.upTo(44)
  const stopping = put(20)
  await eventually('some of the events', () => clients.every(({ client }) => Number(client.data.at(-1)) > 46))
  await stopping
  await server.app.close()
  await server.start()
  await put(5)
  for (const { client } of clients) await client.upTo(69)
  for (const { from, client } of clients) {
    t.same(client.data, range(from, 69), client.source.url)
    t.same(
      client.at,
      client.at.toSorted((one, other) => Number(one) - Number(other))
    )
    t.ok(client.named.includes('closing'), 'the stop sent a closing event')
  }
})

t.test('the first message carries the cursor, and its data is the first frame of a WebSocket', async (t) => {
  const { app, store, url } = await listen(t)
  await append(app, 's', numbered('T', 3))
  const cases: [string, string][] = [
    ['/streams/s', '-1'],
    ['/streams/s?from=2', '1'],
    ['/streams/s?after=0', '0'],
    ['/streams/s?from=end', '2'],
    ['/events?from=end&type=None', '2'],
    ['/streams/none', '-1'],
    ['/streams/$et-T?after=1', '1']
  ]
  for (const [path, id] of cases) {
    const blocks = await LiveBlocks.open(t, url + path)
    await blocks.untilNamed('caughtUp')
    const [first, ...others] = blocks.all
    t.match(first, { event: 'subscribed', retry: /^\d{4}$/, id }, path)
    const socket = await LiveSocket.open(t, url + path)
    await socket.untilFrame('caughtUp')
    const { frame, ...subscribed } = socket.all[0] as Frame
    t.same([frame, JSON.parse(first?.data as string)], ['subscribed', subscribed], `${path}: both transports agree`)
    t.match(subscribed, { cursor: id, from: String(Number(id) + 1), log: store.log.id })
    t.same(
      others.map(({ event, data }) => [event, Object.keys(JSON.parse(data as string))[0]]),
      [...blocks.events.map(() => [undefined, 'id']), ['caughtUp', 'cursor']],
      `${path}: then come unnamed events and caughtUp`
    )
    blocks.destroy()
    await socket.close()
  }
})

t.test('Last-Event-ID wins over from and after', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 6))
  const read = async (path: string, id: string) => {
    const blocks = await LiveBlocks.open(t, url + path, { 'last-event-id': id })
    await blocks.untilNamed('caughtUp')
    blocks.destroy()
    return [blocks.all[0]?.id, blocks.cursors]
  }
  t.same(await read('/streams/s?from=0', '3'), ['3', [4, 5]])
  t.same(await read('/streams/s?after=4', '1'), ['1', [2, 3, 4, 5]])
  t.same(await read('/streams/s?from=end', '-1'), ['-1', range(0, 5)])
  t.same(await read('/events?from=2026-01-01', '5'), ['5', []])
  t.same(await read('/streams/s?after=4', ''), ['4', [5]], 'an empty one is ignored')
  for (const id of ['x', '1.5', '-2', '3;', '3;fin', '99999999999999999999']) {
    const { status, text } = await send(`${url}/streams/s?format=sse`, { headers: { 'last-event-id': id } })
    t.match({ id, status, ...JSON.parse(text) }, { id, status: 400, code: 'bad-cursor' })
  }
  const { status, text } = await send(`${url}/streams/s?format=sse`, { headers: { 'last-event-id': '6' } })
  t.match({ status, ...JSON.parse(text) }, { status: 409, code: 'cursor-beyond-head', head: 5 })
})

t.test('lastEventId in the query counts as Last-Event-ID, in every spelling that polyfills use', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 6))
  const read = async (path: string, headers: Record<string, string> = {}) => {
    const blocks = await LiveBlocks.open(t, url + path, headers)
    await blocks.untilNamed('caughtUp')
    blocks.destroy()
    return [blocks.all[0]?.id, blocks.cursors]
  }
  for (const name of ['lastEventId', 'Last-Event-ID', 'last-event-id', 'lastEventID']) {
    t.same(await read(`/streams/s?from=0&${name}=3`), ['3', [4, 5]], name)
  }
  t.same(await read('/events?after=4&lastEventId=1'), ['1', [2, 3, 4, 5]])
  t.same(await read('/streams/s?lastEventId=1', { 'last-event-id': '4' }), ['4', [5]], 'the header wins')
  t.same(await read('/streams/s?after=4&lastEventId='), ['4', [5]], 'an empty one is ignored')
  const lines = await LiveLines.open(t, `${url}/streams/s?live=true&lastEventId=3`)
  await lines.untilEvents(2)
  t.same(lines.cursors, [4, 5], 'every live transport accepts it')
  const socket = await LiveSocket.open(t, `${url}/streams/s?lastEventId=3`)
  await socket.untilFrame('caughtUp')
  t.same(socket.cursors, [4, 5])
  const sse = { headers: { accept: 'text/event-stream' } }
  t.match(await send(`${url}/streams/s?lastEventId=5;end`, sse), { status: 204 }, 'the client had received everything')
  const refused: [string, string][] = [
    ['/streams/s?lastEventId=x', 'bad-cursor'],
    ['/streams/s?lastEventId=1&last-event-id=2', 'unknown-parameter'],
    ['/streams/s?lastEvent=1', 'unknown-parameter']
  ]
  for (const [path, code] of refused) {
    const { status, text } = await send(url + path, sse)
    t.match({ path, status, ...JSON.parse(text) }, { path, status: 400, code })
  }
  for (const path of ['/streams/s?lastEventId=1', '/events?lastEventId=1&format=ndjson']) {
    const { status, text } = await send(url + path)
    t.match(
      { status, ...JSON.parse(text) },
      { status: 400, code: 'bad-parameter', detail: /"after"/ },
      'a page does not accept it'
    )
  }
})

t.test('with events=typed no stored type passes for an event of the server or of the browser', async (t) => {
  const { app, url } = await listen(t)
  const colliding = [
    'closing',
    'error',
    'open',
    'message',
    'checkpoint',
    'caughtUp',
    'subscribed',
    'fellBehind',
    'ended'
  ]
  const types = [...colliding, 'Closing', '__proto__', 'closing ']
  await append(
    app,
    's',
    types.map((type) => ({ type }))
  )
  const named = new Map<string, string[]>()
  let errorCount = 0
  const source = new EventSource(`${url}/streams/s?events=typed`)
  t.teardown(() => source.close())
  source.onerror = () => errorCount++
  for (const name of new Set([...types, 'message'])) {
    if (name === 'error' || name === 'open') continue // events of the EventSource itself
    source.addEventListener(name, ({ data }) => named.set(name, [...(named.get(name) ?? []), JSON.parse(data).type]))
  }
  await eventually('the EventSource is live', () => named.has('caughtUp'))
  t.same(named.get('message'), colliding, 'colliding types have no name, as without events=typed')
  for (const type of ['Closing', '__proto__', 'closing ']) t.same(named.get(type), [type])
  for (const name of ['caughtUp', 'subscribed'])
    t.same(named.get(name), [undefined], `${name} comes from the server only`)
  t.notOk(named.has('closing') || named.has('checkpoint'))
  t.equal(errorCount, 0)
})

t.test('events have no name, or with events=typed that of their type', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', [
    { type: 'ItemAdded', data: { text: 'a\nb\r\nc\u2028' } },
    { type: 'Größe: 漢', data: 1 },
    { type: ' led by a space', data: 2 }
  ])
  await append(app, 's', 'one\n\ndata: two\r\n\r\nid: 99\n\n', { 'content-type': 'text/plain', 'event-type': 'Note' })
  await append(app, 's', '{"type":"Raw",\r\n"data":\n\n{"a":\r1}}')
  const page = (await app.inject('/streams/s')).json().events as Event[]
  t.equal(page.length, 5)
  const plain = await LiveBlocks.open(t, `${url}/streams/s?live=false`)
  t.ok(await plain.whole)
  t.same(plain.events, page, 'the same objects')
  const typed = await LiveBlocks.open(t, `${url}/streams/s?live=false&events=typed`)
  t.ok(await typed.whole)
  t.same(typed.events, page)
  const observed: string[] = []
  const source = new EventSource(`${url}/streams/s?events=typed`)
  t.teardown(() => source.close())
  for (const { type } of page) source.addEventListener(type, (event) => observed.push(`${event.lastEventId} ${type}`))
  source.onmessage = () => observed.push('without a name')
  await eventually('all of them', () => observed.length >= page.length)
  t.same(
    observed,
    page.map(({ type, cursor }) => `${cursor} ${type}`)
  )
})

t.test('checkpoint and caughtUp are named events and carry the cursor', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(20) })
  await append(app, 's', numbered('T', 3))
  const blocks = await LiveBlocks.open(t, `${url}/events?type=None&heartbeat=0`)
  await blocks.untilNamed('caughtUp')
  await append(app, 's', numbered('T', 2, 3))
  await blocks.until('a checkpoint', (all) => all.at(-1)?.event === 'checkpoint' && all.at(-1)?.id === '4')
  t.same(blocks.all[1], { event: 'caughtUp', data: '{"cursor":"2"}', id: '2' })
  t.same(blocks.all.at(-1), { event: 'checkpoint', id: '4', data: '{"cursor":"4"}' })
  t.equal(store.subscriptions.size, 1)
  blocks.destroy()
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
})

t.test('a comment is the heartbeat; heartbeat=0 sends none', async (t) => {
  const { app, url } = await listen(t, { clock: fastClock(20) })
  const beating = await LiveBlocks.open(t, `${url}/streams/s?heartbeat=1`)
  const standard = await LiveBlocks.open(t, `${url}/streams/s`)
  const silent = await LiveBlocks.open(t, `${url}/streams/s?heartbeat=0`)
  const isComment = ({ comment }: { comment?: string }) => comment !== undefined
  await beating.until('comments', (all) => all.filter(isComment).length >= 30)
  await standard.until('a comment', (all) => all.some(isComment))
  t.ok(standard.all.filter(isComment).length < beating.all.filter(isComment).length, 'fewer by default')
  await append(app, 's', { type: 'T' })
  await silent.untilEvents(1)
  t.notOk(silent.all.some(isComment))
  await beating.untilEvents(1)
  t.same(beating.cursors, [0], 'a comment is not an event')
})

t.test('after a final closing the reconnect gets 204', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 5))
  const { source, data } = openEventSource(t, `${url}/streams/s?limit=3`)
  const [closing] = (await once(source, 'closing')) as [MessageEvent]
  t.equal(closing.lastEventId, '2;end')
  t.match(JSON.parse(closing.data), { code: 'complete', title: 'Complete', detail: /./, cursor: '2' })
  await eventually('the EventSource does not reconnect', () => source.readyState === source.CLOSED)
  t.same(data, [0, 1, 2])
  const again = await send(`${url}/streams/s?limit=3`, {
    headers: { accept: 'text/event-stream', 'last-event-id': '2;end' }
  })
  t.match(again, { status: 204, text: '' })

  const gone = await LiveBlocks.open(t, `${url}/streams/s`)
  await gone.untilNamed('caughtUp')
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.ok(await gone.whole)
  t.match(gone.all.at(-1), { event: 'closing', id: '4;end', data: /"stream-deleted"/ }, 'deleted permanently')
})

t.test('a server stop sends the cursor to continue from, and is not final', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 5))
  const blocks = await LiveBlocks.open(t, `${url}/streams/s`)
  await blocks.untilNamed('caughtUp')
  await app.close()
  t.ok(await blocks.whole, 'the transfer ends properly')
  t.match(blocks.all.at(-1), { event: 'closing', id: '4', data: /"code":"stopping".*"cursor":"4"/ })
})

t.test('an event stream is selected by Accept, or by format=sse for clients such as curl -N', async (t) => {
  const { app, store, url } = await listen(t)
  await append(app, 's', numbered('T', 2))
  const asked: [string, Record<string, string>][] = [
    ['/streams/s', { accept: 'text/event-stream' }],
    ['/streams/s?format=sse', { accept: '*/*' }],
    ['/streams/s?format=sse', { accept: 'application/json', 'accept-encoding': 'gzip, br' }],
    ['/events?format=sse', {}]
  ]
  for (const [path, headers] of asked) {
    const blocks = await LiveBlocks.open(t, url + path, { accept: '*/*', ...headers, origin: 'https://other.example' })
    await blocks.untilEvents(2)
    t.equal(blocks.status, 200)
    const responseHeaders = blocks.response.headers
    t.match(responseHeaders, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'private, no-store, no-transform',
      'x-accel-buffering': 'no',
      'daybook-head': String(store.log.head),
      'daybook-log': store.log.id,
      'access-control-allow-origin': '*',
      'request-id': /./
    })
    t.match(
      responseHeaders['access-control-expose-headers'],
      /Daybook-Head/,
      'pages of other origins can read it, like any answer'
    )
    t.match(responseHeaders.vary, /Accept/)
    t.notOk('content-length' in responseHeaders || 'content-encoding' in responseHeaders)
    blocks.destroy()
  }
  const refused: [string, number, string][] = [
    ['/streams/s?after=99', 409, 'cursor-beyond-head'],
    ['/streams/s?order=desc', 400, 'bad-parameter'],
    ['/streams/s?from=x', 400, 'bad-cursor'],
    ['/streams/s?evnts=typed', 400, 'unknown-parameter'],
    ['/events?consumer=none', 404, 'consumer-not-found']
  ]
  for (const [path, status, code] of refused) {
    const answer = await send(url + path, { headers: { accept: 'text/event-stream, */*' } })
    t.match({ path, status: answer.status, ...JSON.parse(answer.text) }, { path, status, code })
  }
})
