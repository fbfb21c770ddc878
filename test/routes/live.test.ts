import { once } from 'node:events'
import { connect } from 'node:net'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { RecordedEvent, RecordMark } from '../../schemas/events.js'
import { ServerFrame } from '../../schemas/frames.js'
import { SCAN_CHUNK } from '../../src/log/records/read-ahead.js'
import { systemClock } from '../../src/time/clock.js'
import { append, listen } from '../helpers/app.js'
import { type Event, type Frame, fastClock, LiveSocket } from '../helpers/live-clients.js'
import { eventually, turns } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'

const ajv = addFormats.default(
  new Ajv2020({ strict: false, validateSchema: false }).addSchema([RecordMark, RecordedEvent])
)
const isFrame = ajv.compile(ServerFrame)

/** Events of one type, numbered in their data. */
function numbered(type: string, count: number, from = 0): { type: string; data: number }[] {
  return Array.from({ length: count }, (_, i) => ({ type, data: from + i }))
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

async function put(app: FastifyInstance, stream: string, events: object): Promise<void> {
  const { statusCode, body } = await append(app, stream, events)
  if (statusCode !== 201) throw new Error(body)
}

async function putMetadata(app: FastifyInstance, stream: string, metadata: object): Promise<void> {
  const url = `/streams/${encodeURIComponent(stream)}/metadata`
  const { statusCode, body } = await app.inject({ method: 'PUT', url, payload: metadata })
  if (statusCode > 201) throw new Error(body)
}

/** Sources that all hold the events of category c and type T, each with cursors of its own. */
const SOURCES = ['/events', '/events?type=T', '/streams/c-1', '/streams/c-1?type=T', '/streams/$ce-c', '/streams/$et-T']

function withQuery(url: string, source: string, more = ''): string {
  return `${url}${source}${more === '' ? '' : `${source.includes('?') ? '&' : '?'}${more}`}`
}

t.test('an event appended between the last page and going live is delivered once', async (t) => {
  for (const source of SOURCES) {
    // The commit may reach the tail before the reader has come back from its last page, or after.
    for (const pause of [0, 1, 2, 3, 5, 10, 50]) {
      const { app, store, url } = await listen(t, { directory: t.testdir({}) })
      await put(app, 'c-1', numbered('T', 3))
      let raced = false
      const spans = store.reader.spans.bind(store.reader)
      store.reader.spans = async function* (...args) {
        yield* spans(...args)
        if (raced) return
        raced = true
        await put(app, 'c-1', numbered('T', 2, 3))
        await turns(pause)
      }
      const socket = await LiveSocket.open(t, withQuery(url, source))
      await socket.untilFrame('caughtUp')
      await socket.untilEvents(5) // no append follows them
      await put(app, 'c-1', numbered('T', 1, 5))
      await socket.untilEvents(6)
      await socket.fence()
      t.ok(raced, 'there was a race')
      t.same(dataOf(socket.events), range(0, 5), `${source}, ${pause} turns`)
      await app.close()
    }
  }
  const random = seeded(t)
  const { app, url } = await listen(t)
  await put(app, 'c-1', numbered('T', 1))
  let next = 1
  for (let round = 0; round < 30; round++) {
    const sources = range(1, 4).map(() => random.pick(SOURCES))
    const delays = sources.map(() => random.int(0, 30))
    const appending = (async () => {
      for (let i = random.int(3, 12); i > 0; i--) {
        const count = random.int(1, 3)
        await put(app, 'c-1', numbered('T', count, next))
        next += count
      }
    })()
    const sockets = await Promise.all(
      sources.map(async (source, i) => {
        await turns(delays[i] as number)
        const from = random.int(Math.max(0, next - 20), next - 1)
        return { source, from, socket: await LiveSocket.open(t, withQuery(url, source, `from=${from}`)) }
      })
    )
    await appending
    for (const { source, from, socket } of sockets) {
      await socket.until(`event ${next - 1}`, () => socket.events.at(-1)?.data === next - 1)
      await socket.fence()
      t.same(dataOf(socket.events), range(from, next - 1), `round ${round}: ${source} from ${from}`)
      socket.socket.terminate()
    }
  }
})

function dataOf(events: readonly Event[]): unknown[] {
  return events.map(({ data }) => data)
}

t.test('an event that was read from the log is not sent again as a new one', async (t) => {
  for (const source of SOURCES) {
    const { app, store, url } = await listen(t, { directory: t.testdir({}) })
    await put(app, 'c-1', numbered('T', 2))
    const other = await LiveSocket.open(t, withQuery(url, source))
    await other.untilFrame('caughtUp')
    // Delivery is delayed. Its page then begins before the position of the new subscriber, and ends after it.
    let deliver = () => {}
    const held = new Promise<void>((resolve) => {
      deliver = resolve
    })
    const scan = store.log.scan.bind(store.log)
    store.log.scan = async function* (...args) {
      await held
      yield* scan(...args)
    }
    await put(app, 'c-1', numbered('T', 1, 2))
    await turns(5)
    await put(app, 'c-1', numbered('T', 2, 3))
    const socket = await LiveSocket.open(t, withQuery(url, source))
    await socket.untilFrame('caughtUp')
    t.same(dataOf(socket.events), range(0, 4))
    await put(app, 'c-1', numbered('T', 2, 5))
    deliver()
    for (const reader of [socket, other]) {
      await reader.untilEvents(7)
      await reader.fence()
      t.same(dataOf(reader.events), range(0, 6), source)
    }
    await app.close()
  }
})

t.test('an event that is committed while the last commit is being read is delivered, too', async (t) => {
  const { app, store, url } = await listen(t)
  await put(app, 'c-1', numbered('T', 2))
  await putMetadata(app, 'c-1', { maxCount: 100 })
  for (const [i, source] of ['/streams/$ce-c', '/streams/$et-T', '/streams/c-1'].entries()) {
    const socket = await LiveSocket.open(t, withQuery(url, source, 'from=end'))
    await socket.untilFrame('caughtUp')
    const spans = store.reader.spans.bind(store.reader)
    store.reader.spans = async function* (...args) {
      store.reader.spans = spans
      await put(app, 'c-1', numbered('T', 1, 2 * i + 3))
      await turns(20)
      yield* spans(...args)
    }
    await put(app, 'c-1', numbered('T', 1, 2 * i + 2))
    await socket.untilEvents(2)
    t.same(dataOf(socket.events), [2 * i + 2, 2 * i + 3], source)
    socket.socket.terminate()
  }
})

t.test('a checkpoint timer during catch-up skips no event', async (t) => {
  // This filter scans every event instead of using a list of matches.
  for (const source of ['/events', '/streams/c-1', '/streams/$ce-c']) {
    const { app, store, url } = await listen(t, { directory: t.testdir({}), clock: fastClock(20) })
    for (let i = 0; i < 12; i++) await put(app, 'c-1', [...numbered('A', 2, 2 * i), ...numbered('B', 7)])
    const expected = range(0, 23)
    const spans = store.reader.spans.bind(store.reader)
    // Pages are small, and the timer fires between two of them.
    store.reader.spans = async function* (source, request, range) {
      for await (const span of spans(source, request, range, { chunk: 5 })) {
        yield span
        const isTold = span.events.at(-1)?.cursor === span.to || span.to >= source.head
        if (!isTold) await (await opening).untilCursor(span.to)
      }
    }
    const opening = LiveSocket.open(t, withQuery(url, source, 'type.prefix=A&heartbeat=0'))
    const socket = await opening
    await socket.untilFrame('caughtUp')
    t.ok(socket.others.filter((frame) => frame === 'checkpoint').length > 10, 'the timer fired')
    t.same(dataOf(socket.events), expected, source)
    t.same(fallingCursors(socket.all), [], 'no cursor goes back')

    // A reader that continues from any of the checkpoints also gets every event.
    store.reader.spans = spans
    const checkpoints = [...socket.all.entries()].filter(([, { frame }]) => frame === 'checkpoint')
    for (const [i, { cursor }] of checkpoints.filter((_, nth) => nth % 3 === 0)) {
      const before = socket.all.slice(0, i).flatMap(({ event }) => event ?? [])
      const rest = await LiveSocket.open(t, withQuery(url, source, `type.prefix=A&after=${cursor}&live=false`))
      await rest.closed
      t.same(dataOf([...before, ...rest.events]), expected, `${source} from the checkpoint ${cursor}`)
    }
    await app.close()
  }
})

/** Returns the frames whose cursor is lower than that of an earlier frame. */
function fallingCursors(frames: readonly Frame[]): Frame[] {
  let last = -1
  return frames.filter(({ cursor }) => {
    const fell = cursor !== undefined && Number(cursor) < last
    last = Math.max(last, Number(cursor ?? -1))
    return fell
  })
}

t.test('a checkpoint never passes an event that waits for credit', async (t) => {
  const { app, url } = await listen(t, { clock: fastClock(20) })
  await put(app, 's', [...numbered('A', 1), ...numbered('B', 5), ...numbered('A', 1, 1), ...numbered('B', 5)])
  const socket = await LiveSocket.open(t, `${url}/streams/s?type=A&credit=1&statistics=1&heartbeat=0`)
  await socket.untilFrame('checkpoint')
  const looks = socket.all.filter(({ frame }) => frame === 'statistics').length
  await socket.untilFrame('statistics', looks + 3)
  t.same(dataOf(socket.events), [0])
  const reported = socket.all.filter(({ frame }) => frame === 'checkpoint').map(({ cursor }) => cursor)
  t.same(reported, ['5'], 'event 6 waits for credit')
  socket.send({ frame: 'credit', events: 5 })
  await socket.untilFrame('caughtUp')
  t.same(socket.cursors, [0, 6])
})

t.test('the checkpoint of a filtered subscription passes unmatched events, also when idle', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(20) })
  await put(app, 'c-1', numbered('B', 20))
  for (const source of ['/events', '/streams/c-1', '/streams/$ce-c']) {
    const first = store.log.head + 1
    const socket = await LiveSocket.open(t, withQuery(url, source, 'type=A&heartbeat=0&checkpointEvery=1&from=end'))
    await socket.untilFrame('caughtUp')
    t.equal(socket.all.at(-1)?.cursor, String(first - 1), 'the cursor is beyond the events that did not match')
    const idle = await LiveSocket.open(t, withQuery(url, source, 'type=A&heartbeat=0&from=end'))
    await idle.untilFrame('caughtUp')
    await put(app, 'c-1', numbered('B', 3))
    await socket.untilCursor(first + 2)
    await idle.untilCursor(first + 2)
    t.match(idle.all.at(-1), { frame: 'checkpoint', cursor: String(first + 2) }, `${source}, idle`)
    await put(app, 'c-1', numbered('A', 1))
    await idle.untilEvents(1)
    t.same(idle.cursors, [first + 3], 'the next match is delivered')
    await put(app, 'c-1', { type: 'B' })
    await idle.untilCursor(first + 4)
    socket.socket.terminate()
    idle.socket.terminate()
  }
  await put(app, 'c-1', numbered('B', 2 * SCAN_CHUNK))
  const catching = await LiveSocket.open(t, `${url}/events?type.prefix=A&checkpointEvery=2&heartbeat=0`)
  await catching.untilFrame('caughtUp')
  t.ok(catching.others.includes('checkpoint'), 'also during catch-up')
})

t.test('a checkpoint passes positions removed by a tombstone or truncation', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(20) })
  await put(app, 'kept', numbered('T', 1))
  for (const stream of ['gone', 'soft', 'short']) await put(app, stream, numbered('T', 4))
  await putMetadata(app, 'short', { maxCount: 2 })
  await app.inject({ method: 'DELETE', url: '/streams/soft' })
  await app.inject({ method: 'DELETE', url: '/streams/gone?permanent=true' })
  const seen = (await app.inject('/events')).json().events as Event[]
  t.notOk(
    seen.some(({ stream }) => stream === 'soft'),
    'deleted events are hidden'
  )

  const log = await LiveSocket.open(t, `${url}/events?heartbeat=0`)
  await log.untilFrame('caughtUp')
  t.equal(log.all.at(-1)?.cursor, String(store.log.head), 'during catch-up')
  t.same(
    log.cursors,
    seen.map(({ cursor }) => Number(cursor))
  )

  const short = await LiveSocket.open(t, `${url}/streams/short?heartbeat=0`)
  await short.untilFrame('caughtUp')
  t.same(short.cursors, [2, 3])
  const none = await LiveSocket.open(t, `${url}/streams/short?type=None&heartbeat=0&live=false`)
  await none.closed
  t.equal(none.all.at(-1)?.cursor, '3', 'a stream without a visible match')
  const soft = await LiveSocket.open(t, `${url}/streams/soft?heartbeat=0`)
  await soft.untilFrame('caughtUp')
  t.equal(soft.all.at(-1)?.cursor, '3', 'a deleted stream')
  t.same(soft.events, [])
  await put(app, 'soft', numbered('T', 1, 4))
  await soft.untilEvents(1)
  t.same(soft.cursors, [4], 'a revived stream')

  // Live: events that are truncated or deleted by the time they are delivered, and events of system streams.
  await put(app, 'short', numbered('T', 5, 4))
  await put(app, 'late', numbered('T', 2))
  await app.inject({ method: 'DELETE', url: '/streams/late?permanent=true' })
  await app.inject({ method: 'DELETE', url: '/streams/soft' })
  await putMetadata(app, 'kept', { truncateBefore: 1 })
  await log.untilCursor(store.log.head)
  await short.untilCursor(8)
  t.same(fallingCursors(log.all), [])
  const shown = log.events.filter(({ stream }) => stream === 'short').map(({ number }) => number)
  t.same(shown, [2, 3, 7, 8], 'of five events in one commit, two are still visible')
  const again = await LiveSocket.open(t, `${url}/events?after=${log.all.at(-1)?.cursor}&heartbeat=0`)
  await again.untilFrame('caughtUp')
  t.same(again.events, [], 'no event is left after the cursor')
})

t.test('a checkpoint is never beyond the last committed position', async (t) => {
  const random = seeded(t)
  const { app, store, url } = await listen(t, { clock: fastClock(50) })
  await put(app, 'c-1', numbered('B', 5))
  const beyond: object[] = []
  let reported = 0
  const sockets: LiveSocket[] = []
  for (const source of ['/events', '/events?category=c', '/streams/c-1', '/streams/$ce-c']) {
    const socket = await LiveSocket.open(t, withQuery(url, source, 'type=A&heartbeat=0&checkpointEvery=1'))
    // All sources have the same cursors here: only c-1 is written.
    socket.socket.prependListener('message', (data) => {
      const { frame, cursor } = JSON.parse(String(data))
      if (frame === 'checkpoint') reported++
      if (Number(cursor) > store.log.publishedHead)
        beyond.push({ source, frame, cursor, committed: store.log.publishedHead })
    })
    sockets.push(socket)
  }
  // Checks the cursor also when it is sent: the commit could overtake the frame on its way.
  for (const { connection } of store.subscriptions.all()) {
    const checkpoint = connection.checkpoint.bind(connection)
    connection.checkpoint = (cursor) => {
      if (cursor > store.log.publishedHead) beyond.push({ sent: cursor, committed: store.log.publishedHead })
      checkpoint(cursor)
    }
  }
  for (let i = 0; i < 150; i++) {
    const appended = put(app, 'c-1', numbered('B', random.int(1, 4)))
    await Promise.all([appended, random.chance(0.5) ? put(app, 'c-1', numbered('B', 1)) : turns(random.int(0, 5))])
  }
  for (const socket of sockets) await socket.untilCursor(store.log.head)
  t.same(beyond, [])
  t.ok(reported > 100, `${reported} checkpoints were sent`)
})

t.test('no event is sent without credit', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', numbered('T', 5))
  const socket = await LiveSocket.open(t, `${url}/streams/s?credit=2`)
  const expectCursors = async (expected: number[]) => {
    await socket.untilEvents(expected.length)
    await socket.fence()
    t.same(socket.cursors, expected)
  }
  await expectCursors([0, 1])
  socket.send({ frame: 'credit', events: 1 })
  await expectCursors([0, 1, 2])
  socket.send({ frame: 'credit', events: 3 })
  await expectCursors(range(0, 4))
  await socket.untilFrame('caughtUp')
  await put(app, 's', numbered('T', 4, 5))
  await expectCursors(range(0, 5))
  socket.send({ frame: 'credit', events: 100 })
  await expectCursors(range(0, 8))

  const none = await LiveSocket.open(t, `${url}/streams/s?credit=0`)
  await none.fence()
  t.same(none.events, [], 'no credit was granted')
  none.send({ frame: 'credit', events: 1 })
  await none.untilEvents(1)
  t.same(none.cursors, [0])
})

t.test('a reader without credit that falls behind receives every event in the end, in order', async (t) => {
  const { app, url } = await listen(t)
  const socket = await LiveSocket.open(t, `${url}/streams/s?credit=1`)
  await socket.untilFrame('caughtUp')
  for (let i = 0; i < 8; i++) await put(app, 's', numbered('T', 100, 100 * i))
  await socket.untilFrame('fellBehind')
  t.same(socket.all.at(-1), { frame: 'fellBehind', cursor: '0' })
  for (let granted = 0; granted < 800; granted += 80) socket.send({ frame: 'credit', events: 80 })
  await socket.untilFrame('caughtUp', 2)
  t.same(dataOf(socket.events), range(0, 799))
})

t.test('with batch a frame carries several events and the cursor of the last event', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', numbered('T', 8))
  const socket = await LiveSocket.open(t, `${url}/streams/s?batch=3`)
  await socket.untilFrame('caughtUp')
  const frames = socket.all.filter(({ frame }) => frame === 'events')
  t.same(
    frames.map(({ cursor, events }) => [cursor, events?.map(({ cursor }) => cursor)]),
    [
      ['2', ['0', '1', '2']],
      ['5', ['3', '4', '5']],
      ['7', ['6', '7']]
    ]
  )
  await put(app, 's', numbered('T', 2, 8))
  await socket.untilEvents(10)
  t.same(dataOf(socket.events), range(0, 9))
  t.ok(socket.all.every((frame) => isFrame(frame)))
})

t.test('the subscribed frame states where the read begins, the head and the log', async (t) => {
  const { app, store, url } = await listen(t)
  const log = store.log.id
  const first = async (path: string) => {
    const socket = await LiveSocket.open(t, url + path)
    await socket.untilFrame('subscribed')
    t.equal(socket.socket.protocol, 'daybook.v1')
    socket.socket.terminate()
    return socket.all[0]
  }
  t.same(await first('/events'), { frame: 'subscribed', from: '0', cursor: '-1', head: null, log })
  await put(app, 'c 1', numbered('T', 3))
  t.same(await first('/events?after=0'), { frame: 'subscribed', from: '1', cursor: '0', head: 2, log })
  const stream = { frame: 'subscribed', stream: 'c 1', head: 2, log }
  t.same(await first('/streams/c%201'), { ...stream, from: '0', cursor: '-1' })
  t.same(await first('/streams/c%201?from=end'), { ...stream, from: '3', cursor: '2' })
  t.same(await first('/streams/$all?from=2'), { frame: 'subscribed', from: '2', cursor: '1', head: 2, log })
  t.same(await first('/streams/none'), { ...stream, stream: 'none', from: '0', cursor: '-1', head: null })
})

t.test('a bounded subscription ends with closing "complete", its cursor and code 1000', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', [...numbered('A', 3), ...numbered('B', 3)])
  const cases: [string, number[], string][] = [
    ['/streams/s?limit=2', [0, 1], '1'],
    ['/streams/s?to=3', [0, 1, 2, 3], '3'],
    ['/streams/s?before=3', [0, 1, 2], '2'],
    ['/streams/s?from=4&to=4', [4], '4'],
    ['/streams/s?after=4&to=2', [], '4'],
    ['/streams/s?type=A&to=4', [0, 1, 2], '4'],
    ['/streams/s?to=2&credit=3', [0, 1, 2], '2'],
    ['/streams/s?live=false', range(0, 5), '5'],
    ['/streams/s?live=false&type=A', [0, 1, 2], '5'],
    ['/streams/s?live=false&limit=4&batch=3', [0, 1, 2, 3], '3'],
    ['/streams/s?live=false&from=end', [], '5'],
    ['/streams/none?live=false', [], '-1'],
    ['/events?live=false&type=B', [3, 4, 5], '5'],
    ['/streams/$et-B?live=false', [0, 1, 2], '2']
  ]
  for (const [path, cursors, cursor] of cases) {
    const socket = await LiveSocket.open(t, url + path)
    t.same(await socket.closed, { code: 1000, reason: 'complete' }, path)
    t.same(socket.cursors, cursors, path)
    t.match(socket.all.at(-1), { frame: 'closing', code: 'complete', cursor }, path)
  }
  const future = await LiveSocket.open(t, `${url}/streams/s?to=8&limit=9`)
  await future.untilFrame('caughtUp')
  await put(app, 's', numbered('C', 9, 6))
  t.equal((await future.closed).code, 1000)
  t.same(future.cursors, range(0, 8), 'a bound beyond the head')
})

t.test(
  'a bound in the future ends the subscription when its time comes, with the events committed before it',
  async (t) => {
    let ahead = 0
    const quick = fastClock(20)
    const { app, url } = await listen(t, { clock: { ...quick, now: () => systemClock.now() + ahead } })
    const end = new Date(Date.now() + 3_600_000).toISOString()
    const idle = await LiveSocket.open(t, `${url}/streams/idle?before=${end}&heartbeat=0`)
    const busy = await LiveSocket.open(t, `${url}/streams/s?before=${end}&heartbeat=0`)
    await put(app, 's', numbered('T', 2))
    await busy.untilEvents(2)
    await idle.untilFrame('caughtUp')
    ahead = 3_700_000
    await put(app, 's', numbered('T', 1, 2))
    t.equal((await busy.closed).code, 1000)
    t.same(busy.cursors, [0, 1])
    t.match(busy.all.at(-1), { code: 'complete', cursor: '1' })
    t.equal((await idle.closed).code, 1000)
  }
)

t.test('live reads of index streams and filters send the same events as their pages', async (t) => {
  const random = seeded(t)
  const { app, url } = await listen(t)
  const streams = ['c-1', 'c-2', 'd-1', 'plain']
  const write = async () => {
    const tags = random.chance(0.5) ? ['x', 'y'].slice(random.int(0, 1)) : undefined
    await put(app, random.pick(streams), { type: random.pick(['A', 'B', 'AB']), data: null, tags })
  }
  for (let i = 0; i < 40; i++) await write()
  const paths = [
    '/streams/$ce-c',
    '/streams/$et-A',
    '/streams/$ce-c?type=B',
    '/streams/$category-c',
    '/events?type=A',
    '/events?type.prefix=A&stream.not=c-1',
    '/events?category=c&category=d',
    '/events?tag=x&tag=y',
    '/events?stream=plain&stream=c-2',
    '/events?type.regex=B$&system=true',
    '/events?system=true'
  ]
  const readers: [string, LiveSocket][] = []
  for (const path of paths) {
    readers.push([path, await LiveSocket.open(t, url + path)])
    readers.push([path, await LiveSocket.open(t, withQuery(url, path, 'batch=7'))])
  }
  for (let i = 0; i < 40; i++) await write()
  await putMetadata(app, 'plain', { maxCount: 1000 })
  await put(app, 'c-1', { type: 'A' })
  for (const [path, socket] of readers) {
    const page = (await app.inject(withQuery('', path, 'limit=4096'))).json().events as Event[]
    await socket.untilEvents(page.length)
    await socket.fence()
    t.same(socket.events, page, path)
  }
})

t.test('a subscription to a stream that does not exist yet waits for it', async (t) => {
  const { app, url } = await listen(t)
  for (const path of ['/streams/c-9', '/streams/$ce-c', '/streams/$et-T', '/events']) {
    const socket = await LiveSocket.open(t, `${url}${path}`)
    await socket.untilFrame('caughtUp')
    t.match(socket.all.at(-1), { cursor: '-1' }, path)
  }
  const sockets = ['/streams/c-9', '/streams/$ce-c', '/streams/$et-T', '/events'].map((path) =>
    LiveSocket.open(t, `${url}${path}`)
  )
  await put(app, 'c-9', numbered('T', 2))
  for (const socket of await Promise.all(sockets)) {
    await socket.untilEvents(2)
    t.same(socket.cursors, [0, 1])
  }
})

t.test('a permanently deleted stream is 410 before the upgrade, and closes its live readers with 4410', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', numbered('T', 2))
  const following = await LiveSocket.open(t, `${url}/streams/s`)
  const filtered = await LiveSocket.open(t, `${url}/streams/s?type=None`)
  const without = await LiveSocket.open(t, `${url}/streams/s?credit=0`)
  const other = await LiveSocket.open(t, `${url}/streams/other`)
  for (const socket of [following, filtered]) await socket.untilFrame('caughtUp')
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  for (const socket of [following, filtered]) {
    t.same(await socket.closed, { code: 4410, reason: 'stream-deleted' })
    t.match(socket.all.at(-1), { frame: 'closing', code: 'stream-deleted', cursor: /^-?\d+$/ })
  }
  t.match(following.all.at(-1), { cursor: '1' }, 'the cursor is that of the last event sent')
  without.send({ frame: 'credit', events: 9 })
  t.equal((await without.closed).code, 4410, 'a reader that is catching up is closed, too')
  await t.rejects(LiveSocket.open(t, `${url}/streams/s`), /refused with 410/)
  await put(app, 'other', numbered('T', 1))
  await other.untilEvents(1)
})

t.test('permanent deletion of a stream closes the readers of its metadata', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', numbered('T', 2))
  await putMetadata(app, 's', { maxCount: 5 })
  const socket = await LiveSocket.open(t, `${url}/streams/$$s`)
  await socket.untilEvents(1)
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  await t.rejects(LiveSocket.open(t, `${url}/streams/$$s`), /refused with 410/)
  t.equal((await socket.closed).code, 4410)
})

t.test('every frame matches the contract', async (t) => {
  const { app, url } = await listen(t, { clock: fastClock(20) })
  await put(app, 's', numbered('T', 3))
  await append(app, 's', 'plain text', { 'content-type': 'text/plain', 'event-type': 'Note' })
  await put(app, 's', { type: 'Ünïcode 漢字', data: { é: '😀\u2028' }, metadata: { a: 1 }, tags: ['ä'] })
  await app.inject({ method: 'PUT', url: '/consumers/reader', payload: { source: '/streams/s' } })
  const socket = await LiveSocket.open(t, `${url}/streams/s?consumer=reader&statistics=1&heartbeat=0&batch=2&credit=6`)
  await socket.untilFrame('caughtUp')
  socket.send({ frame: 'ack', cursor: '4' })
  await socket.untilFrame('acked')
  await socket.fence()
  for (let i = 0; i < 6; i++) await put(app, 's', numbered('T', 100))
  await socket.untilFrame('fellBehind')
  await socket.untilFrame('statistics')
  const filtered = await LiveSocket.open(t, `${url}/streams/$et-Note?heartbeat=0`)
  await filtered.untilEvents(1)
  const none = await LiveSocket.open(t, `${url}/events?type=None&checkpointEvery=1&heartbeat=0`)
  await none.untilFrame('caughtUp')
  await put(app, 's', numbered('T', 1))
  await none.untilFrame('checkpoint')
  none.send({ frame: 'subscribe', sub: 'x', source: '/nothing' })
  none.send({ frame: 'subscribe', sub: 'y', source: '/streams/s' })
  await none.untilFrame('ended')
  await none.until('the named subscription is live', (all) =>
    all.some(({ frame, sub }) => frame === 'caughtUp' && sub === 'y')
  )
  const sockets = [socket, filtered, none]
  await app.close()
  await Promise.all(sockets.map(({ closed }) => closed))
  const kindsReceived = new Set<string>()
  for (const frame of sockets.flatMap(({ all }) => all)) {
    kindsReceived.add(frame.frame)
    t.ok(isFrame(frame), `${frame.frame} ${JSON.stringify(isFrame.errors?.slice(0, 3))}`)
  }
  const known = (ServerFrame.anyOf as unknown as { properties: { frame: { enum: string[] } } }[]).map(
    ({ properties }) => properties.frame.enum[0]
  )
  t.same([...kindsReceived].sort(), known.sort(), 'every kind of frame was received')
})

t.test('statistics frames report how far behind a reader is, and why', async (t) => {
  const { app, url } = await listen(t, { clock: fastClock(20) })
  await put(app, 's', numbered('T', 5))
  const socket = await LiveSocket.open(t, `${url}/streams/s?credit=2&statistics=1&heartbeat=0`)
  await socket.untilFrame('statistics')
  const expected = { cursor: '1', status: 'catching-up', sent: 2, buffered: 3, inFlight: 0, credit: 0 }
  t.match(socket.all.at(-1), { ...expected, lag: { events: 3 } })
  socket.send({ frame: 'credit', events: 10 })
  await socket.untilFrame('caughtUp')
  await socket.until('statistics', (all) => all.at(-1)?.frame === 'statistics')
  t.match(socket.all.at(-1), { cursor: '4', status: 'live', sent: 5, credit: 7, lag: { events: 0, seconds: 0 } })
  const open = await LiveSocket.open(t, `${url}/streams/s?statistics=1&heartbeat=0`)
  await open.untilFrame('statistics')
  t.match(open.all.at(-1), { credit: null }, 'unlimited credit is null')
})

/** Opens a WebSocket that completes the handshake and then neither reads nor writes. */
async function openUnresponsive(t: Test, url: string, path: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  const head = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13'
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${head}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`)
  const [answer] = await once(socket, 'data')
  t.match(String(answer), /^HTTP\/1\.1 101 /)
  socket.pause()
  return socket
}

t.test('a client that answers pings stays connected; a client that does not is closed', async (t) => {
  const { store, url } = await listen(t, { clock: fastClock(4) })
  const silent = await openUnresponsive(t, url, '/events?heartbeat=1')
  const lively = await LiveSocket.open(t, `${url}/events?heartbeat=5`)
  t.equal(store.subscriptions.size, 2)
  const closed = once(silent, 'close')
  silent.resume()
  await closed
  await eventually('its subscription is gone', () => store.subscriptions.size === 1)
  await eventually('several pings', () => lively.pings >= 2)
  t.equal(store.subscriptions.size, 1)
  await lively.fence()
})

t.test('a server stop sends each reader its cursor, and does not wait for clients that do not respond', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(10) })
  await put(app, 's', numbered('T', 4))
  await openUnresponsive(t, url, '/events')
  await openUnresponsive(t, url, '/streams/s?credit=0')
  const sockets = await Promise.all(
    ['/events', '/streams/s?limit=100', '/streams/s?credit=2', '/events?type=None'].map((path) =>
      LiveSocket.open(t, url + path)
    )
  )
  for (const socket of sockets) await socket.untilCursor(1)
  t.equal(store.subscriptions.size, 6)
  await app.close()
  for (const socket of sockets) {
    t.same(await socket.closed, { code: 1001, reason: 'stopping' })
    t.match(socket.all.at(-1), { frame: 'closing', code: 'stopping' })
  }
  t.same(
    sockets.map(({ all }) => all.at(-1)?.cursor),
    ['3', '3', '1', '3']
  )
  t.equal(store.subscriptions.size, 0)
})

t.test('a client that closes while events come gets a close frame, and leaves no subscription behind', async (t) => {
  const { app, store, url } = await listen(t)
  let writing = true
  const appending = (async () => {
    while (writing) await put(app, 's', numbered('T', 5))
  })()
  for (let i = 0; i < 40; i++) {
    const socket = await LiveSocket.open(t, `${url}/streams/s?from=end`)
    await socket.untilEvents(1)
    t.equal((await socket.close()).code, 1000)
  }
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
  writing = false
  await appending
})

t.test('a frame that is sent together with the handshake is read', async (t) => {
  const { app, url } = await listen(t)
  await put(app, 's', numbered('T', 3))
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  t.teardown(() => socket.destroy())
  const head = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13'
  const credit = Buffer.from(JSON.stringify({ frame: 'credit', events: 2 }))
  const frame = Buffer.concat([Buffer.from([0x81, 0x80 | credit.length, 0, 0, 0, 0]), credit])
  socket.write(
    Buffer.concat([
      Buffer.from(
        `GET /streams/s?credit=0 HTTP/1.1\r\nHost: x\r\n${head}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
      ),
      frame
    ])
  )
  let text = ''
  socket.on('data', (chunk) => (text += chunk))
  await eventually('two events', () => text.split('"frame":"event"').length === 3)
  socket.write(frame)
  await eventually('the third event', () => text.split('"frame":"event"').length === 4)
  t.match(text, /^HTTP\/1\.1 101 /)
})
