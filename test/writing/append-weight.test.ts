/** The cost of appends: commits are bounded by their work, and the queue by its bytes in the memory budget. */
import t from 'tap'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import { sizeOfAppend } from '../../src/writing/append-queue.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

const ID = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'

const request = (more: Partial<AppendAll> = {}): AppendAll => ({
  kind: 'append',
  events: [encodeEvent('s')],
  conditions: [],
  ...more
})

t.test('tags, ids, conditions and the names in conditions add to the weight of an append', async (t) => {
  const plain = sizeOfAppend(request())
  t.equal(plain.weight, 1)
  const tags = Array.from({ length: limits.tags_max }, (_, i) => `t-${i}`)
  t.equal(sizeOfAppend(request({ events: [encodeEvent('s', { tags })] })).weight, 1 + limits.tags_max)
  t.equal(sizeOfAppend(request({ events: [encodeEvent('s', { id: ID })] })).weight, 2)
  t.equal(sizeOfAppend(request({ conditions: [{ stream: 'a', expected: 'any' }] })).weight, 2)
  const types = Array.from({ length: 1000 }, (_, i) => `Type-${i}`)
  const decision = request({ matches: [{ items: [{ types, tags: ['x'] }], after: -1, index: 0 }] })
  const size = sizeOfAppend(decision)
  t.ok(size.weight > 1000, `1,001 names weigh ${size.weight}`)
  t.ok(size.bytes - plain.bytes > types.join('').length, 'the bytes of the names count')
})

t.test('appends with many names are committed in small groups, and one above the limit alone', async (t) => {
  const { store } = await openApp(t)
  const commits = async () =>
    Number(/daybook_commit_seconds_count (\d+)/.exec(await store.metrics.registry.metrics())?.[1])
  const types = Array.from({ length: 1000 }, (_, i) => `Type-${i}`)
  const decide = (i: number, names: string[]) =>
    store.writer.append(
      request({
        events: [encodeEvent(`s-${i}`)],
        matches: [{ items: [{ types: names, tags: [] }], after: -1, index: 0 }]
      })
    )
  const before = await commits()
  await Promise.all(Array.from({ length: 64 }, (_, i) => decide(i, types)))
  const count = (await commits()) - before
  t.ok(count >= 64_000 / limits.commit_work_max, `${count} commits for 64 conditions of 1,000 types`)
  const many = Array.from({ length: limits.commit_work_max + 1 }, (_, i) => `Type-${i}`)
  t.ok(
    (await decide(65, many)).events.length === 1,
    'an append that weighs more than the limit of a commit is committed'
  )
})

t.test('the queue reserves bytes of the memory budget and releases them with the answer', async (t) => {
  const store = await new Store({ directory: t.testdir({}), memoryBytes: limits.memory_bytes_min }).open()
  t.teardown(() => store.close())
  const share = store.memory.appends
  const data = 'x'.repeat(limits.event_bytes_max - 100)
  const large = (events: number) =>
    store.writer.append(request({ events: Array.from({ length: events }, () => encodeEvent('s', { data })) }))
  const more = Math.ceil(share.bytes / limits.event_bytes_max) + 1
  const taken = large(more)
  t.ok(share.used > share.bytes, 'one append always fits an empty queue')
  await t.rejects(large(1), { code: 'overloaded', message: /bytes/, details: { written: false, retry: true } })
  t.equal((await taken).events.length, more)
  t.equal(share.used, 0, 'no bytes are reserved after the answer')
  t.equal((await large(1)).events.length, 1)
  const refused = request({ conditions: [{ stream: 's', expected: 'no_stream' }] })
  await t.rejects(store.writer.append(refused), { code: 'wrong-expected-version' })
  t.equal(share.used, 0, 'no bytes are reserved after a refusal')
})
