/** Long polls (reference 10): which writes end one, and which do not. */
import t, { type Test } from 'tap'
import { DaybookError } from '../../src/errors.js'
import { Reader } from '../../src/reading/reader.js'
import { Sources } from '../../src/reading/sources.js'
import type { Store } from '../../src/store/store.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { append, ask, openApp } from '../helpers/app.js'
import { eventually, turns } from '../helpers/live-events.js'

const ACCEPT = 'application/vnd.eventstore.atom+json'
const SECONDS = 20

/** Opens an application whose long polls time out when the test calls `timeOut`. */
async function polling(t: Test) {
  const held: (() => void)[] = []
  const after: Clock['after'] = (ms, callback) => {
    if (ms === SECONDS * 1000) held.push(callback)
    return systemClock.after(ms, callback)
  }
  const { app, store } = await openApp(t, { clock: { ...systemClock, after } })
  /** Starts a poll. `answer` resolves to the status and the number of entries. */
  const poll = async (path: string) => {
    const before = held.length
    const headers = { accept: ACCEPT, 'es-longpoll': String(SECONDS) }
    const begun = { answered: false, answer: app.inject({ url: path, headers }).then(entriesIn) }
    begun.answer.then(() => {
      begun.answered = true
    })
    await eventually(`${path} waits`, () => held.length > before || begun.answered)
    return begun
  }
  const timeOut = () => {
    for (const end of held) end()
  }
  return { app, store, poll, timeOut }
}

function entriesIn({ statusCode, body }: { statusCode: number; body: string }): [status: number, entries: number] {
  return [statusCode, statusCode === 200 ? JSON.parse(body).entries.length : 0]
}

/** Counts all later reads of events and of stream heads. */
function countReads({ reader, sources }: Store): () => number {
  let reads = 0
  for (const [part, prototype] of [[reader, Reader.prototype], [sources, Sources.prototype]] as const) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (name === 'constructor') continue
      const method = (part as unknown as Record<string, (...words: unknown[]) => unknown>)[name]
      Object.assign(part, {
        [name]: (...words: unknown[]) => {
          reads++
          return method?.apply(part, words)
        }
      })
    }
  }
  return () => reads
} // biome-ignore format: a list

for (const [stream, other] of [
  ['a', 'b'],
  ['$et-A', 'b'],
  ['$$a', 'b'],
  ['missing', 'a']
] as const) {
  t.test(`a poll of ${stream} reads nothing when other streams are appended to`, async (t) => {
    const { app, store, poll, timeOut } = await polling(t)
    await append(app, 'a', { type: 'A' })
    const held = await poll(`/streams/${stream}/1/forward/5`)
    const reads = countReads(store)
    for (let i = 0; i < 20; i++) await append(app, other, { type: 'B' })
    await eventually('the dispatcher has reached the head', () => store.dispatcher.next > store.log.head)
    await turns(10)
    t.equal(reads(), 0)
    t.notOk(held.answered)
    timeOut()
    await held.answer
    t.ok(reads() > 0, 'the answer needs a read')
  })
}

t.test('a poll beyond the head of its stream waits until the stream reaches its number', async (t) => {
  const { app, store, poll } = await polling(t)
  await append(app, 'a', { type: 'A' })
  const held = [await poll('/streams/a/3/forward/5'), await poll('/streams/$et-A/3/forward/5')]
  for (let i = 0; i < 2; i++) await append(app, 'a', { type: 'A' })
  await eventually('the dispatcher has reached the head', () => store.dispatcher.next > store.log.head)
  await turns(10)
  for (const { answered } of held) t.notOk(answered)
  await append(app, 'a', { type: 'A' })
  for (const { answer } of held) t.same(await answer, [200, 1])
})

t.test('a poll of a deleted stream is answered at its time-out', async (t) => {
  const { app, poll, timeOut } = await polling(t)
  for (const stream of ['a', 'b']) await append(app, stream, { type: 'A' })
  const remove = (stream: string) => ask(app, `DELETE /streams/${stream}?permanent=true`)
  await remove('a')
  const held = [await poll('/streams/a/9/forward/5'), await poll('/streams/$$b/0/forward/5'), await poll('/streams/b/9/forward/5')]
  const atOnce = await poll('/streams/b/2/forward/5')
  await remove('b')
  await turns(100)
  for (const { answered } of held) t.notOk(answered)
  timeOut()
  for (const { answer } of held) t.same(await answer, [410, 0])
  t.same(await atOnce.answer, [410, 0])
}) // biome-ignore format: lists

t.test('a poll of the log waits for a position', async (t) => {
  const { app, store, poll } = await polling(t)
  await append(app, 'a', { type: 'A' })
  const position = (store.log.head + 3).toString(16).padStart(16, '0').repeat(2)
  const held = await poll(`/streams/$all/${position}/forward/5`)
  await append(app, 'a', { type: 'A' })
  await turns(10)
  t.notOk(held.answered)
  await append(app, 'a', { type: 'A' })
  t.same(await held.answer, [200, 1])
})

t.test('a poll stops following its stream when the client disconnects during the look-up', async (t) => {
  const { app, store } = await openApp(t)
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  await append(app, 's', [{ type: 'A', data: 1 }])
  let followed = 0
  let left = 0
  const { tails, sources } = store
  const follow = tails.follow.bind(tails)
  tails.follow = async (...asked) => {
    const { tail, leave } = await follow(...asked)
    followed++
    const counted = () => {
      left++
      leave()
    }
    return { tail, leave: counted }
  }
  const gone = new Promise<void>((resolve) => app.server.once('connection', (socket) => socket.once('close', resolve)))
  const head = sources.head.bind(sources)
  const client = new AbortController()
  sources.head = async (stream) => {
    client.abort()
    await gone
    return head(stream)
  }
  const headers = { accept: ACCEPT, 'es-longpoll': '3600' }
  await t.rejects(fetch(`${address}/streams/s/99/forward/20`, { headers, signal: client.signal }))
  await eventually('the poll no longer follows the stream', () => followed === 1 && left === 1)
})

t.test('a failed read of one poll does not affect the next poll of the stream', async (t) => {
  const { app, store, poll, timeOut } = await polling(t)
  const event = [{ type: 'A', data: 1 }]
  await append(app, 's', event)
  await app.inject({ method: 'PUT', url: '/streams/s/metadata', payload: { maxCount: 50 } })
  const first = await poll('/streams/s/9/forward/20')
  const spans = store.reader.spans.bind(store.reader)
  let failures = 0
  store.reader.spans = () => {
    failures++
    throw new DaybookError('storage-failed', 'the disk does not answer')
  }
  await append(app, 's', event)
  await eventually('the read of the poll fails', () => failures > 0)
  store.reader.spans = spans
  const second = await poll('/streams/s/9/forward/20')
  await turns(20)
  t.notOk(first.answered || second.answered, 'both polls wait for their event')
  timeOut()
  t.same(await Promise.all([first.answer, second.answer]), [[200, 0], [200, 0]])
}) // biome-ignore format: a list
