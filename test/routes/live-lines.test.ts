import t from 'tap'
import type { Store } from '../../src/store/store.js'
import { append, listen } from '../helpers/app.js'
import { type Answer, send } from '../helpers/http.js'
import { type Event, fastClock, LiveLines } from '../helpers/live-clients.js'
import { eventually, turns } from '../helpers/live-events.js'

/** Events of one type, numbered in their data. */
function numbered(type: string, count: number, from = 0): { type: string; data: number }[] {
  return Array.from({ length: count }, (_, i) => ({ type, data: from + i }))
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}

t.test('a live NDJSON read sends stored and new events, one per line', async (t) => {
  const { app, store, url } = await listen(t)
  await append(app, 'c-1', numbered('T', 3))
  const paths = [
    '/streams/c-1?live=true',
    '/events?live=true&type=T',
    '/streams/$ce-c?live=true',
    '/streams/$et-T?live=true'
  ]
  const readers = await Promise.all(paths.map((path) => LiveLines.open(t, url + path)))
  for (const lines of readers) await lines.untilEvents(3)
  await append(app, 'c-1', numbered('T', 3, 3))
  await append(app, 'c-1', '{"type":"T",\n"data":\r\n{ "a": 1.0 }}')
  for (const [i, lines] of readers.entries()) {
    await lines.untilEvents(7)
    const page = (await app.inject((paths[i] as string).replace('live=true', ''))).json().events as Event[]
    t.same(lines.values, page, `${paths[i]}: the lines are the events of the page`)
    t.match(lines.response.headers, {
      'content-type': 'application/x-ndjson; charset=utf-8',
      'cache-control': 'private, no-store, no-transform',
      'daybook-head': '2',
      'daybook-log': store.log.id
    })
    lines.destroy()
  }
  await eventually('no subscription is left', () => store.subscriptions.size === 0)
  const plain = await LiveLines.open(t, `${url}/streams/c-1?live=true`, { accept: '*/*' })
  await plain.untilEvents(7)
  t.match(plain.response.headers['content-type'], /x-ndjson/, 'live=true alone selects NDJSON')
})

t.test('a live read of a stream that does not exist yet waits for it', async (t) => {
  const { app, url } = await listen(t)
  const lines = await LiveLines.open(t, `${url}/streams/new?live=true&heartbeat=0`)
  t.equal(lines.status, 200, 'the answer has begun')
  t.match(lines.response.headers, { 'daybook-head': '-1' })
  await append(app, 'new', numbered('T', 2))
  await lines.untilEvents(2)
  t.same(lines.cursors, [0, 1])
})

t.test('checkpoint lines report how far a filter has scanned', async (t) => {
  const { app, store, url } = await listen(t, { clock: fastClock(20) })
  await append(app, 's', numbered('B', 10))
  const lines = await LiveLines.open(t, `${url}/events?live=true&type=A&heartbeat=0`)
  const untilCheckpoint = (cursor: number) =>
    lines.until(`checkpoint ${cursor}`, (all) => all.at(-1) === checkpoint(cursor))
  const checkpoint = (cursor: number) => `{"checkpoint":{"cursor":"${cursor}"}}`
  await untilCheckpoint(9)
  await append(app, 's', numbered('B', 2))
  await untilCheckpoint(11)
  await append(app, 's', numbered('A', 1))
  await lines.untilEvents(1)
  await append(app, 's', numbered('B', 1))
  await untilCheckpoint(store.log.head)
  t.same(lines.cursors, [12])
  const cursors = lines.values.map((value) => Number('checkpoint' in value ? (value.checkpoint as Event).cursor : 12))
  t.same(
    cursors,
    [...new Set(cursors)].sort((one, other) => one - other),
    'each cursor is sent once, in rising order'
  )
})

t.test('an empty line is the heartbeat; heartbeat=0 sends none', async (t) => {
  const { app, url } = await listen(t, { clock: fastClock(20) })
  const beating = await LiveLines.open(t, `${url}/streams/s?live=true&heartbeat=1`)
  const silent = await LiveLines.open(t, `${url}/streams/s?live=true&heartbeat=0`)
  const standard = await LiveLines.open(t, `${url}/streams/s?live=true`)
  const isEmpty = (line: string) => line === ''
  await standard.until('an empty line', (all) => all.some(isEmpty))
  await beating.until('empty lines', (all) => all.filter(isEmpty).length > 3)
  await append(app, 's', { type: 'T' })
  for (const lines of [beating, silent, standard]) await lines.untilEvents(1)
  t.notOk(silent.all.some(isEmpty))
})

t.test('a bounded live read ends as a complete transfer, with a trailer only on request', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 3))
  const limited = await LiveLines.open(t, `${url}/streams/s?live=true&limit=5&trailer=true`)
  await limited.untilEvents(3)
  await append(app, 's', numbered('T', 4, 3))
  t.ok(await limited.whole)
  t.same(limited.cursors, range(0, 4))
  t.equal(limited.all.at(-1), '{"end":{"cursor":"4","events":5}}')
  const bounded = await LiveLines.open(t, `${url}/streams/s?live=true&to=8`)
  await bounded.untilEvents(7)
  await append(app, 's', numbered('T', 4, 7))
  t.ok(await bounded.whole)
  t.same(bounded.values.length, 9, 'without trailer=true there are only events')
})

t.test('a live read that a server stop ends sends a problem line and is cut off', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 3))
  const readers = await Promise.all([
    LiveLines.open(t, `${url}/streams/s?live=true&trailer=true`),
    LiveLines.open(t, `${url}/events?live=true&type=None&heartbeat=0`)
  ])
  await readers[0]?.untilEvents(3)
  await readers[1]?.until('a checkpoint', (all) => all.length > 0)
  await app.close()
  for (const lines of readers) {
    t.notOk(await lines.whole, 'the transfer is incomplete')
    t.match(lines.values.at(-1), {
      problem: {
        status: 503,
        code: 'stopping',
        cursor: '2',
        detail: /./,
        requestId: lines.response.headers['request-id']
      }
    })
  }
})

t.test('a live read of a stream that is deleted permanently ends with a problem line', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 3))
  const lines = await LiveLines.open(t, `${url}/streams/s?live=true`)
  await lines.untilEvents(3)
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.notOk(await lines.whole)
  t.match(lines.values.at(-1), { problem: { status: 410, code: 'stream-deleted', cursor: '2' } })
})

/** Returns a function that counts the requests which wait for new events. */
function countWaiters(store: Store): () => number {
  const follow = store.tails.follow.bind(store.tails)
  let count = 0
  store.tails.follow = async (...args) => {
    const followed = await follow(...args)
    count++
    return followed
  }
  return () => count
}

/** Sends a long poll and returns its page. Rejects if the poll is still held after 30 s of its 60. */
async function poll(url: string, headers: Record<string, string> = {}): Promise<Answer & { events: Event[] }> {
  let timer: NodeJS.Timeout | undefined
  const held = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${url} is held`)), 30_000)
  })
  const answer = await Promise.race([send(url, { headers }), held]).finally(() => clearTimeout(timer))
  return { ...answer, events: answer.status === 200 ? JSON.parse(answer.text).events : [] }
}

t.test('a long poll is answered as soon as there is an event for it, and not before', async (t) => {
  const { app, store, url } = await listen(t)
  const waiters = countWaiters(store)
  await append(app, 'c-1', numbered('T', 2))
  const asked: [string, Record<string, string>, number[]][] = [
    ['/streams/c-1?after=1&wait=60', {}, [2]],
    ['/streams/c-1?after=1', { prefer: 'wait=60' }, [2]],
    ['/streams/c-1?after=1', { prefer: 'return=minimal, wait=60' }, [2]],
    ['/streams/$ce-c?after=1&wait=60', {}, [2]],
    ['/streams/$et-U?wait=60', {}, [0]],
    ['/events?after=1&wait=60', {}, [2]],
    ['/events?type=U&wait=60', {}, [2]],
    ['/events?stream=c-1&type.not=T&after=0&wait=60', {}, [2]],
    ['/events?tag=x&wait=60', {}, [2]]
  ]
  let answered = 0
  const waiting = asked.map(async ([path, headers]) => {
    const answer = await poll(url + path, headers)
    answered++
    return answer
  })
  const unwritten = poll(`${url}/streams/new?wait=60`)
  const matched = poll(`${url}/streams/c-1?type=V&wait=60`)
  await eventually('all polls wait', () => waiters() === asked.length + 2)
  t.equal(answered, 0)
  await append(app, 'c-1', [{ type: 'U', data: 2, tags: ['x'] }])
  for (const [i, answer] of (await Promise.all(waiting)).entries()) {
    const [path, headers, cursors] = asked[i] as (typeof asked)[number]
    t.equal(answer.status, 200, path)
    t.same(
      answer.events.map(({ cursor }) => Number(cursor)),
      cursors,
      path
    )
    t.equal(answer.headers['preference-applied'], headers.prefer && 'wait=60')
  }
  await append(app, 'new', { type: 'T' })
  t.match(await unwritten, { status: 200, events: [{ stream: 'new', number: 0 }] }, 'a stream that did not exist')
  await append(app, 'c-1', { type: 'V' })
  t.match((await matched).events, [{ type: 'V', number: 3 }], 'an event that did not match did not end the wait')

  for (const path of ['/streams/c-1?wait=60', '/events?type=V&wait=60', '/streams/$ce-c?after=2&wait=60']) {
    t.ok((await poll(url + path)).events.length > 0, `${path}: at once`)
  }
  const descending = await poll(`${url}/streams/c-1?order=desc&wait=60`)
  t.match(descending.events[0], { number: 3 }, 'in descending order, too')
})

t.test('a long poll from the end returns the next event', async (t) => {
  const { app, store, url } = await listen(t)
  const waiters = countWaiters(store)
  await append(app, 's', numbered('T', 2))
  const polls = ['/streams/s', '/events', '/streams/$et-T'].map((path) => poll(`${url}${path}?from=end&wait=60`))
  await eventually('all polls wait', () => waiters() === 3)
  await append(app, 's', numbered('T', 1, 2))
  for (const answer of await Promise.all(polls)) {
    t.match(answer.events, [{ number: 2 }])
    t.equal(JSON.parse(answer.text).cursor, '2')
  }
})

t.test('a long poll misses no event that is appended while it starts to wait', async (t) => {
  const { app, store, url } = await listen(t)
  const follow = store.tails.follow.bind(store.tails)
  for (const [i, path] of ['/streams/c-1', '/events', '/streams/$ce-c', '/events?tag=x'].entries()) {
    store.tails.follow = async (...args) => {
      await append(app, 'c-1', { type: 'T', tags: ['x'] })
      await turns(20)
      return follow(...args)
    }
    const { events } = await poll(`${url}${path}${path.includes('?') ? '&' : '?'}after=${i - 1}&wait=60`)
    t.match(events, [{ position: i }], path)
  }
})

t.test('a long poll that times out returns an empty page', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 2))
  for (const path of ['/streams/s?after=1&wait=0.2', '/events?type=None&wait=0.2', '/streams/none?wait=0.2']) {
    const { status, text } = await poll(url + path)
    t.match({ path, status, ...JSON.parse(text) }, { path, status: 200, events: [], atEnd: true })
    t.equal(JSON.parse(text).cursor, path.includes('none') ? '-1' : '1')
  }
  const preferred = await poll(`${url}/streams/s?after=1`, { prefer: 'wait=1' })
  t.match(preferred, { status: 200, events: [], headers: { 'preference-applied': 'wait=1' } })
  t.equal((await poll(`${url}/streams/none?wait=0`)).status, 404, 'without a wait a missing stream is 404')
  const refused: [string, Record<string, string>][] = [
    ['/streams/s?wait=61', {}],
    ['/streams/s?wait=-1', {}],
    ['/streams/s?wait=soon', {}]
  ]
  for (const [path, headers] of refused) t.equal((await poll(url + path, headers)).status, 400, path)
  t.equal(
    (await poll(`${url}/streams/s?after=9&wait=60`)).status,
    409,
    'a poll does not wait for a cursor beyond the head'
  )
})

t.test('permanent deletion of a stream ends the long polls on it', async (t) => {
  const { app, store, url } = await listen(t)
  const waiters = countWaiters(store)
  await append(app, 's', numbered('T', 2))
  const waiting = poll(`${url}/streams/s?after=1&wait=60`)
  await eventually('the poll waits', () => waiters() === 1)
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.match(JSON.parse((await waiting).text), { status: 410, code: 'stream-deleted' })
  t.equal((await poll(`${url}/streams/s?wait=60`)).status, 410, 'a later poll is answered at once')
})

t.test('a server stop answers all requests that wait', async (t) => {
  const { app, store, url } = await listen(t)
  const waiters = countWaiters(store)
  await append(app, 's', numbered('T', 2))
  const polls = ['/streams/s?after=1', '/events?type=None', '/streams/none', '/streams/$et-T?after=1'].map((path) =>
    poll(`${url}${path}${path.includes('?') ? '&' : '?'}wait=60`)
  )
  const gone = poll(`${url}/streams/s?after=1&wait=60&type=Gone`)
  const atLeast = poll(`${url}/streams/s?atLeast=100&wait=60`)
  await eventually('all polls wait', () => waiters() === 5)
  await app.close()
  for (const answer of await Promise.all([...polls, gone])) t.match(answer, { status: 200, events: [] })
  t.match(JSON.parse((await atLeast).text), { status: 409, code: 'not-there-yet' })
})

t.test('atLeast delays the answer until the log has reached the position', async (t) => {
  const { app, url } = await listen(t)
  await append(app, 's', numbered('T', 2))
  const page = poll(`${url}/streams/s?atLeast=2&wait=60`)
  const event = send(`${url}/streams/s/2?atLeast=2&wait=60`)
  const lines = send(`${url}/streams/s?atLeast=2&wait=60&format=ndjson`)
  const live = LiveLines.open(t, `${url}/streams/s?atLeast=2&wait=60&live=true`)
  const early = await poll(`${url}/streams/s?atLeast=2`)
  t.match(JSON.parse(early.text), { status: 409, code: 'not-there-yet', head: 1, atLeast: 2, retry: true })
  await append(app, 'other', { type: 'T' })
  t.equal((await page).events.length, 2, 'also if the event is in another stream')
  t.equal((await event).status, 404)
  t.equal((await lines).text.trim().split('\n').length, 2)
  await (await live).untilEvents(2)
  t.equal(
    (await poll(`${url}/streams/s?after=1&atLeast=2&wait=60`)).status,
    200,
    'it does not wait for an event after the cursor'
  )
  t.match(JSON.parse((await poll(`${url}/events?atLeast=9&wait=0.2`)).text), { code: 'not-there-yet', head: 2 })
})
