/**
 * LevelDB may lose entries of the index, or return older versions. A request that depends on such an entry is refused,
 * all others are served, and the next start rebuilds the index.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { family, headKey, pageKey, table } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { encodeEvent } from '../helpers/events.js'

const LEVEL = { writeBufferSize: 1 << 22, cacheSize: 1 << 20, compression: false }
const ID = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'

// A start compares the newest events with the log. These tests are about older events.
const checked = limits.index_checked_events
Object.assign(limits, { index_checked_events: 1 })
t.teardown(() => Object.assign(limits, { index_checked_events: checked }))

function append(store: Store, stream: string, request: Partial<AppendAll> = {}, event = {}) {
  return store.writer.append({ events: [encodeEvent(stream, event)], conditions: [], kind: 'append', ...request })
}

/** Creates a store of a few streams and closes it. Writes its index in two steps; `half` gets it after the first. */
async function written(t: Test, half: (index: Level) => Promise<void> = async () => {}): Promise<string> {
  const directory = join(t.testdir({}), 'db')
  for (const part of [0, 1]) {
    const store = await new Store({ directory }).open()
    for (let i = 0; i < 30; i++) await append(store, `s-${i % 5}`, {}, { type: `T${i % 3}`, tags: [`tag-${i % 4}`] })
    await append(store, 'with-id', {}, part === 0 ? { id: ID } : {})
    await append(store, 'last')
    await store.close()
    if (part === 0) await onIndex(directory, half)
  }
  return directory
}

async function onIndex(directory: string, work: (index: Level) => Promise<void>): Promise<void> {
  const index = await Level.open(join(directory, 'index'), LEVEL)
  await work(index)
  await index.close()
}

function hide(directory: string, ...keys: Buffer[]): Promise<void> {
  return onIndex(directory, async (index) => {
    const batch = index.batch()
    for (const key of keys) batch.del(key)
    await index.write(batch)
  })
}

/** Checks that the store refuses only requests that depend on the damage, and is whole after another start. */
async function refusesAndHeals(t: Test, directory: string, doIt: (store: Store) => Promise<unknown>): Promise<void> {
  const store = await new Store({ directory }).open()
  const head = store.log.head
  const attempt = doIt(store)
  const innocent = append(store, 'new-one')
  await t.rejects(attempt, { code: 'index-damaged', details: { written: false } })
  t.match(await innocent, { events: [{ number: 0 }] }, 'another append is accepted')
  await append(store, 'new-two')
  t.equal(store.log.head, head + 2, 'nothing else was written')
  await store.close()
  t.not((await checkDirectory(directory)).disagreements.length, 0, 'verify reports the damage')

  const again = await new Store({ directory }).open()
  await t.resolves(doIt(again).catch((error) => t.not(error.code, 'index-damaged')))
  await again.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'the index was rebuilt')
}

t.test('a missing head of a stream does not restart the numbers of the stream', async (t) => {
  const directory = await written(t)
  await hide(directory, headKey(family.stream, 's-2'))
  await refusesAndHeals(t, directory, (store) =>
    append(store, 's-2', { conditions: [{ stream: 's-2', expected: 'no_stream' }] })
  )
  const store = await new Store({ directory }).open()
  t.match(await append(store, 's-2'), { events: [{ number: 12 }] }, 'the numbers continue')
  await store.close()
})

t.test('an older version of a head causes no duplicate number', async (t) => {
  let older: Buffer | undefined
  const key = headKey(family.stream, 's-2')
  const directory = await written(t, async (index) => {
    older = await index.get(key)
  })
  await onIndex(directory, async (index) => {
    const batch = index.batch()
    batch.put(key, older as Buffer)
    await index.write(batch)
  })
  await refusesAndHeals(t, directory, (store) => append(store, 's-2'))
})

t.test('a missing list of a tag or type lets no condition pass', async (t) => {
  for (const [kind, name, item] of [
    [family.tag, 'tag-1', { types: [], tags: ['tag-1'] }],
    [family.type, 'T1', { types: ['T1'], tags: [] }]
  ] as const) {
    const directory = await written(t)
    await hide(directory, headKey(kind, name))
    await refusesAndHeals(t, directory, (store) =>
      append(store, 'decided', { matches: [{ items: [item], after: -1, index: 0 }] })
    )
  }
})

t.test('a missing page of ids causes no retry to be written twice', async (t) => {
  const directory = await written(t)
  await hide(directory, pageKey(table.ids, 0))
  await refusesAndHeals(t, directory, (store) => append(store, 'with-id', {}, { id: ID }))
  const store = await new Store({ directory }).open()
  t.match(await append(store, 'with-id', {}, { id: ID }), { replayed: true, events: [{ number: 0 }] })
  await store.close()
})

t.test('a start detects a missing tombstone, access rule or account', async (t) => {
  const directory = join(t.testdir({}), 'db')
  let store = await new Store({ directory }).open()
  await append(store, 'gone')
  await store.writer.delete({ kind: 'delete', stream: 'gone', expected: 'any', permanent: true })
  await append(store, '$$secret', {}, { type: '$metadata', data: { $acl: { $r: ['ann'] } } })
  await append(store, '$user-admin', {}, { type: '$User', data: { login: 'admin' } })
  await append(store, 'last')
  await store.close()
  for (const key of [
    headKey(family.tombstone, 'gone'),
    headKey(family.stream, '$$secret'),
    headKey(family.stream, '$user-admin')
  ]) {
    await hide(directory, key)
    store = await new Store({ directory }).open()
    t.equal((await store.states.of('gone')).tombstone, true)
    t.same((await store.states.of('secret')).metadata.acl, { $r: ['ann'] })
    t.equal(await store.sources.head('$user-admin'), 0)
    await store.close()
    t.same((await checkDirectory(directory)).disagreements, [], 'the index was rebuilt')
  }
})

t.test('a rebuilt index keeps the families and rules of the damaged one', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const options = { directory, categoryRule: { at: 'first', separator: '_' }, runProjections: 'system' } as const
  let store = await new Store(options).open()
  await append(store, 'cart_1')
  await store.close()
  await hide(directory, headKey(family.stream, 'cart_1'))
  store = await new Store({ directory }).open()
  t.ok(await store.postings.head(family.category, 'cart'))
  await store.close()
})
