/** Large commits: indexing them yields to the event loop, and readers see all of a commit's index changes or none. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { family } from '../../src/log/format.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { countWork } from '../helpers/counted-work.js'
import { encodeEvent } from '../helpers/events.js'

const EVENTS = limits.batch_events_max
const TAGS = 8

const tag = (event: number, i: number) => `${event}-${i}`

function large(stream: (event: number) => string) {
  const events = Array.from({ length: EVENTS }, (_, event) =>
    encodeEvent(stream(event), { tags: ['common', ...Array.from({ length: TAGS }, (_, i) => tag(event, i))] })
  )
  return { kind: 'append', events, conditions: [] } as const
}

async function openStore(t: Test, directory = join(t.testdir({}), 'db')): Promise<Store> {
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  return store
}

/** Calls back in every turn of the event loop until the work has ended. Returns the number of turns. */
async function inEachTurn(work: Promise<unknown>, look: () => void): Promise<number> {
  let turns = 0
  let done = false
  const ended = work.finally(() => {
    done = true
  })
  while (!done) {
    look()
    turns++
    await new Promise((resolve) => setImmediate(resolve))
  }
  await ended
  return turns
}

t.test('a reader sees all of a large commit in the index, or none of it', async (t) => {
  const store = await openStore(t)
  const before = [encodeEvent('one', { tags: ['common', tag(7, 0)] })]
  await store.writer.append({ kind: 'append', events: before, conditions: [] })
  const { postings } = store
  const seen = new Set<string>()
  const counts = () => [
    postings.headInMemory(family.stream, 'one')?.count ?? 0,
    postings.headInMemory(family.tag, 'common')?.count ?? 0,
    postings.headInMemory(family.tag, tag(7, 0))?.count ?? 0,
    postings.headInMemory(family.tag, tag(EVENTS - 1, 0))?.count ?? 0,
    postings.appliedTo
  ]
  const turns = await inEachTurn(store.writer.append(large(() => 'one')), () => seen.add(counts().join()))
  seen.add(counts().join())
  t.same(
    [...seen],
    [
      [1, 1, 1, 0, 0],
      [EVENTS + 1, EVENTS + 1, 2, 1, EVENTS]
    ].map((row) => row.join())
  )
  t.ok(turns > 20, `${turns} turns`)
})

t.test('a large commit yields to the event loop after a bounded number of look-ups', async (t) => {
  for (const [name, stream] of [
    ['one stream', () => 'one'],
    ['a stream for each event', (event: number) => `own-${event}`]
  ] as const) {
    await t.test(name, async (t) => {
      const store = await openStore(t)
      const request = large(stream)
      const work = countWork(t)
      let most = { lookups: 0, decoded: 0 }
      const look = () => {
        most = { lookups: Math.max(most.lookups, work.lookups), decoded: Math.max(most.decoded, work.decoded) }
        Object.assign(work, { lookups: 0, decoded: 0 })
      }
      await inEachTurn(store.writer.append(request), look)
      await inEachTurn(store.postings.flush(), look)
      t.ok(most.lookups < 30 * EVENTS, `${most.lookups} look-ups in one turn`)
      t.ok(most.decoded < EVENTS / 4, `${most.decoded} events were read in one turn`)
    })
  }
})

t.test('small appends before, between and after large commits are numbered and indexed correctly', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  const small = (i: number) =>
    store.writer.append({
      kind: 'append',
      events: [encodeEvent('one', { tags: ['common', `small-${i}`, tag(i, 0)] }), encodeEvent(`small-${i}`)],
      conditions: []
    })
  const asked: Promise<unknown>[] = []
  for (let i = 0; i < 6; i++) {
    asked.push(small(2 * i), store.writer.append(large((event) => (event % 2 === 0 ? 'one' : `own-${event % 50}`))))
    asked.push(small(2 * i + 1))
    if (i % 2 === 0) asked.push(store.postings.flush())
    if (i % 3 === 0) await Promise.all(asked)
  }
  await Promise.all(asked)
  t.equal(store.postings.appliedTo, store.log.head)
  t.equal((await store.postings.head(family.tag, 'common'))?.count, 6 * EVENTS + 12)
  await store.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('a family that is filled while a large commit is staged gets all events of the commit', async (t) => {
  const directory = join(t.testdir({}), 'db')
  let store = await new Store({ directory, runProjections: 'none' }).open()
  for (let i = 0; i < 3; i++) await store.writer.append(large((event) => `s-${event % 9}`))
  await store.close()
  store = await new Store({ directory, runProjections: 'all' }).open()
  for (let i = 0; store.postings.behind.size > 0 || i < 2; i++) {
    await store.writer.append(large((event) => `new-${i}-${event % 99}`))
  }
  await store.filled
  t.equal((await store.postings.head(family.type, 'T'))?.count, store.log.head + 1)
  await store.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

t.test('a large commit whose write fails leaves no changes in the index', async (t) => {
  const store = await openStore(t)
  const commit = store.log.commit.bind(store.log)
  let fail = true
  store.log.commit = async (...asked) => {
    const [planned, created, sealed] = asked
    if (!fail) return commit(...asked)
    fail = false
    return commit(planned, created, async () => {
      await sealed?.()
      throw new Error('no')
    })
  }
  await t.rejects(store.writer.append(large(() => 'one')), { code: 'internal', details: { written: false } })
  t.equal(store.postings.appliedTo, -1)
  t.equal(await store.postings.head(family.tag, 'common'), undefined)
  const { events } = await store.writer.append(large(() => 'one'))
  t.equal(events[0]?.position, 0, 'the next append gets its position')
  t.equal((await store.postings.head(family.tag, 'common'))?.count, EVENTS)
})
