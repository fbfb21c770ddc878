import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

t.test('appends that arrive together are committed together, and each gets its own position', async (t) => {
  const { store } = await openApp(t)
  const results = await Promise.all(
    Array.from({ length: 3000 }, (_, i) =>
      store.writer.append({ events: [encodeEvent(`s-${i % 7}`)], conditions: [], kind: 'append' })
    )
  )
  const positions = results.map(({ events }) => events[0]?.position).sort((a, b) => (a as number) - (b as number))
  t.same(
    positions,
    Array.from({ length: 3000 }, (_, i) => i),
    'the positions have no gap and no duplicate'
  )
  const commits = /daybook_commit_seconds_count (\d+)/.exec(await store.metrics.registry.metrics())?.[1]
  t.ok(Number(commits) < 100, `${commits} commits for 3,000 appends`)
})

t.test('of many concurrent appends with the same expected version exactly one succeeds', async (t) => {
  const { app } = await openApp(t)
  for (let head = 0; head < 20; head++) {
    const condition: Record<string, string> = head === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${head - 1}"` }
    const answers = await Promise.all(Array.from({ length: 10 }, () => append(app, 's', { type: 'T' }, condition)))
    t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 1)
    t.equal(answers.filter(({ statusCode }) => statusCode === 412).length, 9)
  }
})

t.test('a full queue answers 503 with Retry-After, and accepts appends again when it is empty', async (t) => {
  const { app, store } = await openApp(t)
  const appendOne = () => store.writer.append({ events: [encodeEvent('s')], conditions: [], kind: 'append' })
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  // Another turn of the writer lasts meanwhile, so that nothing leaves the queue.
  const turn = store.writer.inTurn(() => held)
  const waiting = Array.from({ length: limits.append_queue_max }, appendOne)
  t.equal(store.writer.queued, limits.append_queue_max)
  const refused = await append(app, 's', { type: 'T' })
  t.match(refused.json(), { status: 503, code: 'overloaded', written: false, retry: true })
  t.match(refused.headers['retry-after'], /^\d+$/)
  await t.rejects(appendOne(), { code: 'overloaded', details: { written: false, retry: true } })
  release()
  await turn
  t.equal((await Promise.all(waiting)).length, limits.append_queue_max)
  t.equal((await append(app, 's', { type: 'T' })).json().head, limits.append_queue_max, 'no refused append was written')
})

t.test('a failed commit fails every append in it, and the next append gets the unused number', async (t) => {
  const { app, store } = await openApp(t, { ballastBytes: 0 })
  await append(app, 's', { type: 'T' })
  const { writeSynced } = Level.prototype
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  Level.prototype.writeSynced = () => Promise.reject(new Error('IO error: No space left on device'))
  const answers = await Promise.all([append(app, 's', { type: 'A' }), append(app, 'new', { type: 'B' })])
  for (const answer of answers)
    t.match(answer.json(), { status: 507, code: 'read-only', written: 'unknown', retry: true })
  Level.prototype.writeSynced = writeSynced
  t.match((await append(app, 's', { type: 'C' })).json(), { status: 507, code: 'read-only', written: false })
  t.equal((await app.inject('/streams/s')).json().events.length, 1, 'reads still work')
  t.match((await app.inject('/readyz')).json(), { status: 'read-only', reason: 'the disk is full' })
  let answer = await append(app, 's', { type: 'D' })
  while (answer.statusCode === 507) answer = await append(app, 's', { type: 'D' })
  t.match(answer.json(), { head: 1, position: 1 }, 'the store recovers by itself')
  t.equal((await app.inject('/streams/new')).statusCode, 404)
  t.match((await app.inject('/readyz')).json(), { status: 'ok' })
  t.ok(store.log.head === 1)
})

t.test('closing answers the queued appends and refuses later ones', async (t) => {
  const { store, directory } = await openApp(t)
  const taken = Array.from({ length: 500 }, () =>
    store.writer.append({ events: [encodeEvent('s')], conditions: [], kind: 'append' })
  )
  const closing = store.close()
  await t.rejects(store.writer.append({ events: [encodeEvent('s')], conditions: [], kind: 'append' }), {
    code: 'stopping'
  })
  t.equal((await Promise.all(taken)).length, 500)
  await closing
  t.match(await checkDirectory(directory), { events: 500, disagreements: [] })
})

t.test('heads stay right with more streams than cached heads', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const streams = limits.heads_cached_max + 10_000
  const store = await new Store({ directory }).open()
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < streams; i += 4000) {
      const events = Array.from({ length: Math.min(4000, streams - i) }, (_, j) => encodeEvent(`s-${i + j}`))
      const { events: placed } = await store.writer.append({ events, conditions: [], kind: 'append' })
      if (placed.some(({ number }) => number !== round)) t.fail(`a stream near ${i} lost its head`)
    }
  }
  await store.close()
  t.match(await checkDirectory(directory), { events: 2 * streams, streams, disagreements: [] })
})
