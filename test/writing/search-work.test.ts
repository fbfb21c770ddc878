/**
 * Searches of the log for conditions: they share the turns of the event loop, and end when their clients disconnect.
 */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { countWork } from '../helpers/counted-work.js'
import { encodeEvent } from '../helpers/events.js'

async function openStore(t: Test): Promise<Store> {
  const store = await new Store({ directory: t.testdir({}) }).open()
  t.teardown(() => store.close())
  return store
}

/** An append on condition that none of 1,000 types of its own is in the log. */
function decision(own: number, held: string[] = []): AppendAll {
  const items = Array.from({ length: 1000 }, (_, i) => ({ types: [held[i] ?? `Never-${own}-${i}`], tags: [] }))
  return {
    kind: 'append',
    events: [encodeEvent(`d-${own}`, { type: 'Decided' })],
    conditions: [],
    matches: [{ items, after: -1, index: 0 }]
  }
}

async function fill(store: Store, count: number, type: (i: number) => string): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => encodeEvent('held', { type: type(i), tags: ['x'] }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
}

t.test('many concurrent conditions yield to the event loop after a bounded number of look-ups', async (t) => {
  const store = await openStore(t)
  await fill(store, limits.match_compared_max + 500, (i) => `Held-${i % 7}`)
  const work = countWork(t)
  let most = 0
  let turns = 0
  let done = false
  const watch = () => {
    most = Math.max(most, work.lookups)
    work.lookups = 0
    turns++
    if (!done) setImmediate(watch)
  }
  setImmediate(watch)
  const results = await Promise.all(Array.from({ length: 60 }, (_, i) => store.writer.append(decision(i))))
  done = true
  t.equal(results.length, 60, 'all appends are accepted')
  t.ok(most < 60_000, `${most} look-ups in one turn, ${turns} turns`)
})

t.test('a search ends when its client disconnects, and writes nothing', async (t) => {
  const store = await openStore(t)
  await fill(store, limits.match_compared_max + 500, (i) => `Held-${i % 7}`)
  const { head } = store.log
  const gone = new AbortController()
  const left = Array.from({ length: 40 }, (_, i) => store.writer.append(decision(i), gone.signal))
  gone.abort()
  for (const one of await Promise.allSettled(left)) t.equal(one.status, 'rejected')
  t.equal(store.log.head, head, 'nothing was written')
  t.equal(store.memory.appends.used, 0, 'the memory of the appends was released')
})

t.test('a short condition does not wait for earlier long conditions', async (t) => {
  const store = await openStore(t)
  await fill(store, limits.match_compared_max + 500, (i) => `Held-${i % 7}`)
  const order: string[] = []
  const long = Array.from({ length: 40 }, (_, i) => store.writer.append(decision(i)).then(() => order.push('long')))
  const [condition] = decision(0).matches ?? []
  const short: AppendAll = {
    ...decision(99),
    matches: [{ items: [{ types: ['Never'], tags: [] }], after: -1, index: condition?.index ?? 0 }]
  }
  await Promise.all([...long, store.writer.append(short).then(() => order.push('short'))])
  t.ok(order.indexOf('short') < 20, `the short condition was answered as number ${order.indexOf('short') + 1} of 41`)
})
