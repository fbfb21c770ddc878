/** Commits larger than the caches, and reads during them: no event is lost, and no number is used twice. */
import { join } from 'node:path'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

t.test('a commit with more lists than cached heads is indexed completely', async (t) => {
  const { app, store, directory } = await openApp(t)
  const batches = Array.from({ length: 2 }, (_, b) =>
    Array.from({ length: limits.batch_events_max }, (_, i) =>
      encodeEvent(`s-${i % 3}`, { tags: Array.from({ length: 7 }, (_, j) => `${b}-${i}-${j}`) })
    )
  )
  t.ok(2 * limits.batch_events_max * 7 > limits.heads_cached_max, 'the commit has more lists than cached heads')
  const append = (events: (typeof batches)[number]) => store.writer.append({ events, conditions: [], kind: 'append' })
  await Promise.all(batches.map(append))
  t.equal(store.postings.appliedTo, store.log.head, 'the index has all of it')
  const head = await store.sources.head('s-0')
  const [next] = (await append([encodeEvent('s-0')])).events
  t.equal(next?.number, head + 1, 'the next event gets the next number')
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('conditions on more streams than cached heads do not affect other appends', async (t) => {
  const { app } = await openApp(t)
  const many = Array.from({ length: 60 }, (_, i) =>
    app.inject({
      method: 'POST',
      url: '/events',
      headers: { 'content-type': 'application/json' },
      payload: JSON.stringify({
        events: [{ stream: `s-${i}`, type: 'T' }],
        conditions: Array.from({ length: limits.conditions_max }, (_, j) => ({ stream: `n-${i}-${j}`, head: 'none' }))
      })
    })
  )
  const innocent = append(app, 'innocent', { type: 'T' })
  t.same([...new Set((await Promise.all(many)).map(({ statusCode }) => statusCode))], [201])
  t.equal((await innocent).statusCode, 201)
})

t.test('appends to new lists are indexed while the last events of a family are filled', async (t) => {
  const directory = join(t.testdir({}), 'db')
  for (let round = 0; round < 8; round++) {
    let store = await new Store({ directory, runProjections: 'none' }).open()
    const events = Array.from({ length: 2500 }, (_, i) => encodeEvent(`s-${i % 9}`, { type: `T${i % 5}` }))
    await store.writer.append({ events, conditions: [], kind: 'append' })
    await store.close()
    store = await new Store({ directory, runProjections: 'all' }).open()
    const clients = Array.from({ length: 8 }, async (_, client) => {
      for (let i = 0; store.postings.behind.size > 0 || i < 3; i++) {
        const name = `${round}-${client}-${i}`
        const event = encodeEvent(`new-${name}`, { type: `N${name}`, tags: [name] })
        await store.writer.append({ events: [event], conditions: [], kind: 'append' })
      }
    })
    await Promise.all(clients)
    await store.filled
    t.equal(store.postings.appliedTo, store.log.head, 'the index has all of it')
    await store.close()
  }
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('reading a filter by its cursor finds every event once while events are appended', async (t) => {
  const { app, store } = await openApp(t)
  const EVENTS = 600
  for (const [query, event] of [
    ['tag=common', (i: number) => encodeEvent(`t-${i}`, { tags: ['common', `own-${i}`] })],
    ['type=Common', (i: number) => encodeEvent(`u-${i}`, { type: 'Common', tags: [`own-${i}`] })],
    ['stream=one', (i: number) => encodeEvent('one', { tags: [`mine-${i}`] })]
  ] as const) {
    let appended = 0
    const writers = Array.from({ length: 10 }, async () => {
      while (appended < EVENTS) {
        const events = [event(appended++)]
        await store.writer.append({ events, conditions: [], kind: 'append' })
      }
    })
    let met = 0
    let done = false
    const all = Promise.all(writers).then(() => (done = true))
    for (let url = `/events?${query}`; ; ) {
      const last = done
      const { events, links }: { events: unknown[]; links: { next?: string; newer: string } } = (
        await app.inject(url)
      ).json()
      met += events.length
      await new Promise((resolve) => setImmediate(resolve)) // an injected request does not yield to the event loop
      url = links.next ?? links.newer
      if (last && events.length === 0) break
    }
    await all
    t.equal(met, appended, `${query}: every event once`)
  }
})

t.test('a refused condition with many items does not delay other appends', async (t) => {
  const { app, store } = await openApp(t)
  for (let i = 0; i < 5; i++) {
    const events = Array.from({ length: 4000 }, (_, j) =>
      encodeEvent('s', { type: 'T', tags: i + j === 0 ? ['x'] : [j % 2 === 0 ? 'a' : 'b'] })
    )
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  const looked = countReads(store)
  const items = [{ tags: ['x'] }, ...Array.from({ length: 100 }, () => ({ types: ['T'], tags: ['a', 'b'] }))]
  const answer = await app.inject({
    method: 'POST',
    url: '/events',
    headers: { 'content-type': 'application/json' },
    payload: JSON.stringify({ events: [{ stream: 'd', type: 'D' }], conditions: [{ failIfEventsMatch: { items } }] })
  })
  t.match(answer.json(), { status: 412, failed: [{ position: 0, type: 'T' }] })
  t.ok(looked.records < 1000, `${looked.records} records were read for the refusal`)
})

/** Counts the records read from now on. */
function countReads({ log }: Store): { records: number } {
  const counted = { records: 0 }
  const readMany = log.readMany.bind(log)
  log.readMany = (positions) => {
    counted.records += positions.length
    return readMany(positions)
  }
  return counted
}

t.test('metadata works with more streams than names in memory', async (t) => {
  const before = limits.states_named_max
  t.teardown(() => Object.assign(limits, { states_named_max: before }))
  Object.assign(limits, { states_named_max: 5 })
  const { app } = await openApp(t)
  const headers = { 'content-type': 'application/json' }
  for (let i = 0; i < 12; i++) {
    await append(app, `s-${i}`, [{ type: 'A' }, { type: 'B' }])
    const url = `/streams/s-${i}/metadata`
    const put = await app.inject({ method: 'PUT', url, headers, payload: '{"maxCount":1}' })
    t.equal(put.statusCode, 201, url)
    const patch = await app.inject({ method: 'PATCH', url, headers, payload: '{"own":1}' })
    t.equal(patch.statusCode, 200, url)
    t.match((await app.inject(`/streams/s-${i}`)).json().events, [{ type: 'B' }])
  }
  t.equal((await app.inject('/events')).json().events.length, 12, 'hidden events stay hidden')
})

t.test('deleted events stay hidden while the store recovers from a failed write', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 'gone', { type: 'Secret' })
  await app.inject({ method: 'DELETE', url: '/streams/gone?permanent=true' })
  const loading = store.states.load()
  const read = await Promise.all([app.inject('/streams/gone'), app.inject('/events?type=Secret')])
  await loading
  t.equal(read[0].statusCode, 410)
  t.same(read[1].json().events, [])
})

t.test('a revived stream keeps its access rules, also when its metadata has a repeated member', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  const headers = { 'content-type': 'application/json', 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  const payload = '{"$acl":{"$r":"ann"},"own":1,"own":2,"$tb":9223372036854775807}'
  const written = await app.inject({ method: 'POST', url: '/streams/s/metadata', headers, payload })
  t.equal(written.statusCode, 201)
  t.equal((await append(app, 's', { type: 'T' })).statusCode, 201)
  t.same((await app.inject('/streams/s/metadata')).json(), { acl: { read: 'ann' }, own: 2, truncateBefore: 1 })
})
