/** Answers to appends when a write fails, and recovery after it. */
import { readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CONSUMER_DEFAULTS } from '../../src/consumers/consumer-definition.js'
import { limits } from '../../src/limits.js'
import { family, StoredRecord } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Witness } from '../../src/log/recovery/witness.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { changeLimits, failOnce, openSmall, smallDisk, untilWritable } from '../helpers/still-standing.js'

const append = (store: Store, ...events: ReturnType<typeof encodeEvent>[]) =>
  store.writer.append({ events, conditions: [], kind: 'append' })

t.test(
  'an append is acknowledged when the witness write fails; further appends are refused until it succeeds',
  async (t) => {
    const disk = smallDisk(t)
    const setup = await openSmall(t, disk)
    const { store, clock, directory } = setup
    await append(store, encodeEvent('s'))
    let failing = true
    disk.fault = (call) => (failing && call === 'witness write' ? 'before' : undefined)
    t.match((await append(store, encodeEvent('s'))).events, [{ number: 1, position: 1 }])
    await t.rejects(append(store, encodeEvent('s')), { code: 'read-only', details: { written: false, retry: true } })
    for (let second = 0; second < 3; second++) {
      clock.move(1000)
      await store.writer.inTurn(async () => {})
    }
    t.equal(store.readOnlyMode.why, 'the disk is full', 'the store is read-only while the witness lags behind')
    failing = false
    await untilWritable(setup, Promise.resolve())
    t.match((await append(store, encodeEvent('s'))).events, [{ number: 2 }])
    const witness = Witness.open(join(directory, 'witness'))
    t.equal(witness.read()?.head, 2, 'the witness has the new head')
    witness.close()
  }
)

t.test('an append whose index update fails is acknowledged if the index catches up at once', async (t) => {
  const disk = smallDisk(t)
  const { store } = await openSmall(t, disk)
  await append(store, encodeEvent('s'))
  const reached = store.log.reached(1)
  disk.fault = afterCommit('index getMany', 1)
  const { events } = await append(store, encodeEvent('s', { tags: ['never asked for'] }))
  t.match(events, [{ number: 1, position: 1 }])
  await reached.promise
  t.equal(store.readOnlyMode.why, undefined)
  t.equal((await store.postings.head(family.tag, 'never asked for'))?.count, 1, 'the event is in all its lists')
})

t.test(
  'an append whose index does not catch up at once is answered as unknown, and published when the store recovers',
  async (t) => {
    const disk = smallDisk(t)
    const setup = await openSmall(t, disk)
    const { store } = setup
    await append(store, encodeEvent('s'))
    const id = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
    const settings = { $userStreamAcl: { $r: 'ann' } }
    const events = [encodeEvent('s', { id, tags: ['never asked for'] }), encodeEvent('$settings', { data: settings })]
    failToApply(store, 2)
    const refused = store.writer.append({ events: [encodeEvent('s')], conditions: [{ stream: 's', expected: 7 }], kind: 'append' }) // biome-ignore format: one line
    const unknown = { code: 'storage-failed', details: { written: 'unknown', retry: true } }
    await Promise.all([
      t.rejects(append(store, ...events), unknown),
      t.rejects(
        refused,
        { code: 'storage-failed', details: { written: false } },
        'an append refused in the same commit was not written'
      )
    ])
    t.ok(store.readOnlyMode.why)
    await untilWritable(setup, store.log.reached(2).promise)
    t.same(store.rules.settings.userStreams, settings.$userStreamAcl, 'the settings of the append apply')
    t.match(await append(store, events[0] as (typeof events)[0]), {
      replayed: true,
      events: [{ number: 1, position: 1 }]
    })
  }
)

/** Lets the next `times` index updates fail. */
function failToApply({ postings }: Store, times: number): void {
  const apply = postings.apply.bind(postings)
  postings.apply = (batch) => {
    if (times-- > 0) throw new Error('the index update fails')
    apply(batch)
  }
}

/** Lets the first `times` calls of this name after the next commit fail. */
function afterCommit(name: string, times: number) {
  let committed = false
  let left = times
  return (call: string) => {
    if (call === 'log writeSynced') committed = true
    return committed && call === name && left-- > 0 ? ('before' as const) : undefined
  }
}

t.test('an append that fails because of a read before the commit is answered with written: false', async (t) => {
  const disk = smallDisk(t)
  const setup = await openSmall(t, disk)
  const { store } = setup
  await append(store, ...Array.from({ length: 5 }, () => encodeEvent('s', { tags: ['x'] })))
  for (const tag of ['one', 'two']) {
    disk.fault = failOnce('index getMany')
    const matches = [{ items: [{ types: [], tags: [tag] }], after: -1, index: 0 }]
    await t.rejects(store.writer.append({ events: [encodeEvent('s')], conditions: [], matches, kind: 'append' }), {
      code: 'storage-failed',
      details: { written: false, retry: true }
    })
    disk.fault = failOnce('index getMany')
    const answer = append(store, encodeEvent(`new-${tag}`))
    await t.rejects(untilWritable(setup, answer), { code: 'storage-failed', details: { written: false, retry: true } })
  }
  t.equal(store.log.head, 4)
})

t.test('appends are refused while the index is behind the log, and succeed when it has caught up', async (t) => {
  const setup = await openSmall(t, smallDisk(t))
  const { store } = setup
  await append(store, encodeEvent('s'))
  await store.log.commit([{ event: encodeEvent('s'), number: 1 }], store.log.lastCreated)
  await t.rejects(append(store, encodeEvent('s')), { code: 'internal', details: { written: false, retry: true } })
  t.equal(store.log.head, 1)
  t.ok(store.readOnlyMode.why)
  await untilWritable(setup, Promise.resolve())
  t.match((await append(store, encodeEvent('s'))).events, [{ number: 2, position: 2 }])
})

t.test(
  'an index that disagrees with the log about a number applies nothing, and the store stays read-only',
  async (t) => {
    const setup = await openSmall(t, smallDisk(t))
    const { store, clock } = setup
    await append(store, encodeEvent('s'), encodeEvent('other'))
    const { poster } = store
    const { postingOf } = poster
    poster.postingOf = (...record) => ({ ...postingOf.apply(poster, record), number: 7 })
    await t.rejects(append(store, encodeEvent('s')), { code: 'storage-failed', details: { written: 'unknown' } })
    clock.move(1000)
    await store.writer.inTurn(async () => {})
    t.ok(store.readOnlyMode.why)
    t.same([store.log.head, store.postings.appliedTo, store.log.publishedHead], [2, 1, 1])
    await t.rejects(append(store, encodeEvent('s')), { code: 'read-only' })
    poster.postingOf = postingOf
    await untilWritable(setup, Promise.resolve())
    t.match((await append(store, encodeEvent('s'))).events, [{ number: 2, position: 3 }])
  }
)

t.test('the index refuses events that repeat or skip a position or number', async (t) => {
  const { store } = await openSmall(t, smallDisk(t))
  const { postings, poster } = store
  const { events } = await append(store, encodeEvent('s'))
  const at = (position: number, number: number) => {
    const record = new StoredRecord(position, events[0]?.event.record.bytes as Buffer)
    return { ...poster.postingOf(record), number }
  }
  for (const [position, number] of [[0, 0], [0, 1], [2, 1], [1, 0], [1, 2]] as const) t.throws(() => postings.apply([at(position, number)]), `${position}, ${number}`) // biome-ignore format: one line
  t.throws(() => postings.fill([at(1, 1)], 1), 'no family is behind')
  t.equal((await postings.head(family.stream, 's'))?.count, 1)
  postings.apply([at(1, 1)])
  t.equal((await postings.head(family.stream, 's'))?.count, 2)
})

t.test(
  'a log that lost acknowledged events while it was reopened is not changed, and its witness is not either',
  async (t) => {
    const setup = await openSmall(t, smallDisk(t))
    const { store, clock, directory } = setup
    for (let i = 0; i < 5; i++) await append(store, encodeEvent('s', { data: 'x'.repeat(1000) }))
    const wal = largest(join(directory, 'log'), '.log')
    truncateSync(wal, readFileSync(wal).length - 500)
    const witness = readFileSync(join(directory, 'witness'))
    store.readOnlyMode.begin(new Error('no space left on device'))
    for (let second = 0; second < 2; second++) {
      clock.move(1000)
      await store.writer.inTurn(async () => {})
    }
    t.equal(store.readOnlyMode.why, 'the log is damaged')
    t.equal(store.log.head, 4)
    await t.rejects(append(store, encodeEvent('s')), { code: 'read-only' })
    t.same(readFileSync(join(directory, 'witness')), witness)
    await store.close()
    await t.rejects(new Store({ directory }).open(), { code: 'log-damaged' }, 'the next start fails with the same code')
  }
)

t.test('a store that is closed during recovery reopens nothing, and its directory is undamaged', async (t) => {
  const disk = smallDisk(t)
  const calls = new Set<string>()
  const folder = t.testdir({})
  for (let n = 0, reached = true; reached; n++) {
    const { store, clock, directory } = await openSmall(t, disk, { directory: join(folder, `${n}`) })
    await append(store, ...Array.from({ length: 70 }, (_, i) => encodeEvent(`s-${i}`)))
    disk.fault = failOnce('log writeSynced', 'after')
    await t.rejects(append(store, ...Array.from({ length: 70 }, (_, i) => encodeEvent(`s-${i}`))), { code: 'read-only' }) // biome-ignore format: one line
    let count = 0
    let closing: Promise<void> | undefined
    disk.onCall = (call) => {
      if (count++ !== n) return undefined
      calls.add(call)
      closing = store.close()
      // Let the close go as far as it can before this call ends.
      return Promise.race([closing, turns(500)])
    }
    clock.move(1000)
    while (closing === undefined && store.readOnlyMode.why !== undefined) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    reached = closing !== undefined
    await (closing ?? store.close())
    disk.onCall = () => undefined
    clock.move(10_000)
    await t.rejects(append(store, encodeEvent('s')), { code: 'stopping' })
    const report = await checkDirectory(directory)
    t.same(report.disagreements, [], `closed at call ${n}`)
    t.equal(report.events, 140)
  }
  for (const call of ['log reopen', 'index reopen', 'index write', 'index entries']) t.ok(calls.has(call), call)
})

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('only one back-fill runs at a time, also when writes fail meanwhile', async (t) => {
  changeLimits(t, { index_pending_max: 10_000 })
  const directory = t.testdir({})
  let store = await new Store({ directory, runProjections: 'none' }).open()
  for (let i = 0; i < 4; i++) {
    await append(
      store,
      ...Array.from({ length: 1500 }, (_, j) => encodeEvent(`a${j % 50}-${i}`, { type: `T${j % 7}` }))
    )
  }
  await store.close()
  const disk = smallDisk(t)
  let writes = 0
  let commits = 0
  // Recovery begins during the back-fill, after a failed write of the back-fill or of a concurrent commit.
  disk.fault = (call) => {
    if (call === 'log writeSynced') return ++commits % 2 === 0 ? 'before' : undefined
    return call === 'index write' && ++writes < 30 && writes % 6 === 5 ? 'before' : undefined
  }
  const setup = await openSmall(t, disk, { directory, runProjections: 'all' })
  store = setup.store
  const { postings } = store
  const { fill } = postings
  postings.fill = (...part) => {
    t.doesNotThrow(() => fill.apply(postings, part), 'no event is filled twice or skipped')
  }
  let appended = 0
  while (store.postings.behind.size > 0) {
    const events = Array.from({ length: 20 }, (_, i) => encodeEvent(`b-${i}`, { type: `T${i % 7}` }))
    await untilWritable(setup, append(store, ...events).then(() => (appended += 20), () => {})) // biome-ignore format: one line
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.ok(commits > 4 && writes > 5, `${commits} commits, ${writes} writes of the index`)
  disk.fault = undefined
  await store.close()
  t.match(await checkDirectory(directory), { events: 6000 + appended, disagreements: [] })
})

t.test('consumers agree with the log, also after a definition or removal was answered with an error', async (t) => {
  const disk = smallDisk(t)
  const setup = await openSmall(t, disk)
  const { consumers } = setup.store
  const wanted = { name: 'c', source: '/events', from: 'start', settings: CONSUMER_DEFAULTS, owner: undefined }
  const define = () => consumers.define(wanted, async () => -1)
  const remove = () => consumers.remove('c')
  for (const [change, there] of [
    [define, true],
    [remove, false]
  ] as const) {
    disk.fault = failOnce('log writeSynced', 'before')
    await t.rejects(untilWritable<unknown>(setup, change()), { code: 'read-only' })
    t.equal(consumers.find('c') !== undefined, !there, 'the change is not in the log')
    disk.fault = failOnce('log writeSynced', 'after')
    await t.rejects(untilWritable<unknown>(setup, change()), { code: 'read-only' })
    t.equal(consumers.find('c') !== undefined, there, 'the change is in the log')
  }
  t.match(await define(), { made: true }, 'the consumer can be created again')
})

t.test('a batch for a closed database gives an error and does not end the process', async (t) => {
  const options = { writeBufferSize: limits.write_buffer_bytes, cacheSize: 1024 * 1024, compression: false }
  const level = await Level.open(t.testdir({}), options)
  const batch = level.batch()
  batch.put(Buffer.from('key'), Buffer.from('value'))
  const reopening = level.reopen()
  await t.rejects(level.write(batch), { code: 'storage-failed' })
  await reopening
  await level.close()
  await t.rejects(level.writeSynced(batch), { code: 'storage-failed' })
  await t.rejects(level.entries({}).next(), { code: 'storage-failed' })
  await t.rejects(level.get(Buffer.from('key')), { code: 'storage-failed' })
})

t.test('an append that waits for an index write is acknowledged when that write fails', async (t) => {
  const disk = smallDisk(t)
  const setup = await openSmall(t, disk)
  const { store } = setup
  const streams = (name: string) => Array.from({ length: 80 }, (_, i) => encodeEvent(`${name}-${i}`))
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  disk.onCall = (call) => (call === 'index write' ? held : undefined)
  await append(store, ...streams('first'))
  const waiting = append(store, ...streams('second'))
  await store.log.reached(159).promise
  t.ok(store.postings.congested, 'changes accumulate during the write')
  disk.fault = (call) => (call === 'index write' || call === 'index reopen' ? 'before' : undefined)
  release()
  t.match(await waiting, { replayed: false, events: { length: 80 } }, 'the events are in the log and in the index')
  await t.rejects(append(store, encodeEvent('third')), { code: 'read-only', details: { written: false, retry: true } })
  disk.fault = undefined
  await untilWritable(setup, Promise.resolve())
  t.equal((await store.postings.head(family.stream, 'second-79'))?.count, 1)
})
