/** Starts on a full disk, or with temporary errors of the disk: existing data is served or kept, never deleted. */
import { cpSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { CONSUMER_DEFAULTS } from '../../src/consumers/consumer-definition.js'
import { Checkpoints } from '../../src/dispatch/checkpoints.js'
import { Level } from '../../src/log/level.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { systemClock } from '../../src/time/clock.js'
import { StillClock } from '../helpers/clock.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { faultyDisk } from '../helpers/faulty-disk.js'
import { untilWritable } from '../helpers/still-standing.js'

const EVENTS = 60
const BALLAST = 2 * 1024 * 1024
const WRITES = /open$|write|sync/

const append = (store: Store, stream = 's-0') =>
  store.writer.append({ events: [encodeEvent(stream)], conditions: [], kind: 'append' })

t.test(
  'a start with a full disk at any step deletes the ballast, serves reads, and accepts appends when there is space',
  async (t) => {
    const disk = faultyDisk(t)
    const crashed = await withBallast(t)
    const steps: string[] = []
    disk.fault = (call) => {
      if (WRITES.test(call)) steps.push(call)
      return undefined
    }
    const { store } = await openCopy(t, crashed, 'whole')
    await store.close()
    disk.fault = undefined
    const opening = steps.slice(0, steps.lastIndexOf('index write') + 1)
    t.match(opening.join(), /log open.*witness sync.*checkpoints open.*index open.*index write/, 'all steps are run')
    for (const [n, step] of opening.entries()) {
      let left = n
      disk.fault = (call) => (WRITES.test(call) && left-- === 0 ? 'before' : undefined)
      const setup = await openCopy(t, crashed, `${n}`)
      disk.fault = undefined
      const { store: full, directory } = setup
      t.equal(full.log.head, EVENTS - 1, `${step}: the log has every event`)
      t.equal((await full.postings.head('s', 's-0'))?.count, EVENTS / 3, `${step}: the index has every event`)
      await t.rejects(append(full), { code: 'read-only', details: { written: false } }, `${step}: appends are refused`)
      await untilWritable({ ...setup, disk }, Promise.resolve())
      t.match((await append(full)).events, [{ position: EVENTS }], `${step}: appends succeed when there is space`)
      t.equal(statSync(join(directory, 'ballast')).size, BALLAST, `${step}: the ballast is created again`)
      await full.close()
    }
  }
)

t.test(
  'a start on a full disk without a ballast fails with advice and changes nothing that a start needs',
  async (t) => {
    const disk = faultyDisk(t)
    const crashed = await crashedDirectory(t.testdir({}), EVENTS)
    for (const step of ['log open', 'checkpoints open', 'index open']) {
      disk.fault = (call) => (call === step ? 'before' : undefined)
      const directory = copy(t, crashed, step)
      await t.rejects(new Store({ directory }).open(), {
        code: 'directory-unusable',
        message: /No space left.*free some space.*start again/
      })
      disk.fault = undefined
      const store = await new Store({ directory }).open()
      t.equal(store.log.head, EVENTS - 1)
      t.same(store.notices, [], 'nothing had to be rebuilt')
      await store.close()
    }
  }
)

t.test(
  'a temporary error of the index database makes the start fail with advice, and the index is not rebuilt',
  async (t) => {
    const disk = faultyDisk(t)
    const closed = await closedDirectory(t)
    const faults: Record<string, RegExp> = {
      'Too many open files': /ulimit -n/,
      'Input/output error': /check the disk/,
      'No space left on device': /free some space/,
      'Permission denied': /owner and the mode/,
      'Cannot allocate memory': /memory/
    }
    for (const [says, advice] of Object.entries(faults)) {
      for (const call of ['index open', 'index getMany', 'index entries']) {
        const directory = copy(t, closed, `${says}-${call}`)
        const before = readdirSync(join(directory, 'index')).filter((name) => name.endsWith('.ldb'))
        disk.says = says
        disk.fault = (one) => (one === call ? 'before' : undefined)
        const unusable = { code: 'directory-unusable', message: call === 'index open' ? advice : /check the disk/ }
        await t.rejects(new Store({ directory }).open(), unusable, `${call}: ${says}`)
        if (call !== 'index entries') {
          // A rebuild must keep the same families, which cannot be read now.
          await t.rejects(
            new Store({ directory, rebuildIndex: true }).open(),
            unusable,
            `${call}: ${says}, with a requested rebuild`
          )
        }
        disk.fault = undefined
        const after = readdirSync(join(directory, 'index'))
        t.same(
          before.filter((name) => !after.includes(name)),
          [],
          `${call}: ${says}: no table was deleted`
        )
        const store = await new Store({ directory }).open()
        t.same(store.notices, [], 'the next start uses the index unchanged')
        await store.close()
      }
    }
  }
)

t.test(
  'a damaged checkpoint database is set aside with one notice, and consumers start where their definitions say',
  async (t) => {
    const closed = await closedDirectory(t)
    const damages: Record<string, (places: string) => void> = {
      'an empty CURRENT': (places) => truncateSync(join(places, 'CURRENT'), 0),
      'no CURRENT': (places) => rmSync(join(places, 'CURRENT')),
      'a bit of CURRENT': (places) => flipBit(join(places, 'CURRENT'), 3),
      'a bit of the manifest': (places) => flipBit(manifestOf(places), 0.5),
      'no manifest': (places) => rmSync(manifestOf(places)),
      'a lost table': (places) => rmSync(largest(places, '.ldb')),
      'a file in its place': (places) => {
        rmSync(places, { recursive: true })
        writeFileSync(places, 'no directory')
      }
    }
    for (const [how, damage] of Object.entries(damages)) {
      const directory = copy(t, closed, how)
      const places = join(directory, 'checkpoints')
      for (const time of ['first', 'second']) {
        damage(places)
        const store = await new Store({ directory }).open()
        t.match(store.notices, [/checkpoints of consumers were damaged.*begins where its definition says/], how)
        const consumer = store.consumers.get('c')
        t.equal(consumer.cursor, -1, `${how}: the consumer starts where its definition says`)
        t.equal(store.log.head, EVENTS, `${how}: no event is lost`)
        await consumer.acknowledge(7, consumer.generation, EVENTS)
        await store.close()
        await (await new Store({ directory }).open()).close()
        t.same(
          readdirSync(directory).filter((name) => name.includes('damaged')),
          ['checkpoints.damaged'],
          `${how}, ${time}`
        )
      }
      const again = await new Store({ directory }).open()
      t.match(again.places.get('consumer', 'c'), { cursor: 7 }, `${how}: new checkpoints are saved`)
      t.same(again.notices, [])
      await again.close()
    }
  }
)

t.test(
  'a temporary error of the checkpoint database makes the start fail with advice, and the checkpoints are kept',
  async (t) => {
    const disk = faultyDisk(t)
    const closed = await closedDirectory(t)
    disk.fault = (call) => (call === 'checkpoints open' ? 'before' : undefined)
    for (const says of ['Too many open files', 'Permission denied', 'No space left on device']) {
      disk.says = says
      await t.rejects(
        new Store({ directory: closed }).open(),
        { code: 'directory-unusable', message: /start again/ },
        says
      )
    }
    disk.fault = undefined
    const store = await new Store({ directory: closed }).open()
    t.match(store.places.get('consumer', 'c'), { cursor: 5 })
    t.same(store.notices, [])
    await store.close()
  }
)

t.test(
  'saving a checkpoint on a full disk is refused at once, and the checkpoint is saved when there is space',
  async (t) => {
    const store = await new Store({ directory: t.testdir({}) }).open()
    t.teardown(() => store.close())
    const clock = new StillClock()
    const places = await Checkpoints.open(join(t.testdirName, 'other'), store.log, clock)
    const { writeSynced } = Level.prototype
    t.teardown(() => Object.assign(Level.prototype, { writeSynced }))
    Level.prototype.writeSynced = () => Promise.reject(new Error('IO error: No space left on device'))
    const place = { cursor: -1, generation: 1, active: 1 }
    await t.rejects(places.save('consumer', 'a', place), {
      code: 'read-only',
      details: { written: 'unknown', retry: true }
    })
    Level.prototype.writeSynced = writeSynced
    while (places.failure !== undefined) {
      clock.move(1000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await places.close()
    const again = await Checkpoints.open(join(t.testdirName, 'other'), store.log, systemClock)
    t.match(again.get('consumer', 'a'), { generation: 1 })
    await again.close()
  }
)

t.test(
  'a store closed while it rebuilds its index stops between two batches, and the next start continues from there',
  async (t) => {
    const closed = await closedDirectory(t, 3000)
    rmSync(join(closed, 'index'), { recursive: true })
    const calls: number[] = []
    const store: Store = new Store({
      directory: closed,
      onProgress: (_what, done) => {
        calls.push(done)
        if (done > 1000) void store.close()
      }
    })
    await t.rejects(store.open(), { code: 'stopping' })
    await store.close()
    t.equal(store.status, 'closed')
    t.ok((calls.at(-1) ?? 0) < 2000, 'it has stopped reading')
    const next: number[] = []
    const again = await new Store({ directory: closed, onProgress: (_what, _done, of) => next.push(of) }).open()
    t.same(again.notices, [], 'the index is not rebuilt')
    t.ok((next.at(-1) ?? 3000) < 2000, 'only the remaining events are read')
    t.equal((await again.postings.head('s', 's-0'))?.count, 1000)
    await again.close()
  }
)

t.test('a store can be closed at every step of its opening', async (t) => {
  const disk = faultyDisk(t)
  const crashed = await crashedDirectory(t.testdir({}), EVENTS)
  let steps = 0
  disk.onCall = () => void steps++
  const { store } = await openCopy(t, crashed, 'whole')
  await store.close()
  for (let n = 0; n < steps; n++) {
    const directory = copy(t, crashed, `at-${n}`)
    const closing: Store = new Store({ directory, ballastBytes: BALLAST })
    let left = n
    let closed: Promise<void> | undefined
    disk.onCall = () => {
      if (left-- === 0) closed = closing.close()
      return undefined
    }
    await closing.open().catch((error) => t.equal(error.code, 'stopping', `at call ${n}`))
    await (closed ?? closing.close())
    t.equal(closing.status, 'closed')
    disk.onCall = () => undefined
    const again = await new Store({ directory }).open()
    t.equal(again.log.head, EVENTS - 1)
    await again.close()
  }
})

async function withBallast(t: Test): Promise<string> {
  return crashedDirectory(t.testdir({}), EVENTS, { ballastBytes: BALLAST })
}

/** Returns a closed directory, with the checkpoint of a consumer in a table. */
async function closedDirectory(t: Test, events = EVENTS): Promise<string> {
  const directory = join(t.testdir({}), 'closed')
  const store = await new Store({ directory }).open()
  for (let i = 0; i < events; i += 60) {
    const batch = Array.from({ length: 60 }, (_, j) => encodeEvent(`s-${j % 3}`))
    await store.writer.append({ events: batch, conditions: [], kind: 'append' })
  }
  const wanted = { name: 'c', source: '/events', from: 'start', settings: CONSUMER_DEFAULTS, owner: undefined }
  const { consumer } = await store.consumers.define(wanted, async () => -1)
  await consumer.acknowledge(5, consumer.generation, events)
  await store.close()
  await (await new Store({ directory }).open()).close()
  return directory
}

function copy(t: Test, from: string, name: string): string {
  const to = join(t.testdirName, name.replace(/\W/g, '-'))
  cpSync(from, to, { recursive: true })
  return to
}

async function openCopy(t: Test, from: string, name: string, options: Partial<StoreOptions> = {}) {
  const directory = copy(t, from, name)
  const clock = new StillClock()
  const store = await new Store({ ballastBytes: BALLAST, ...options, directory, clock }).open()
  return { store, directory, clock }
}

function manifestOf(folder: string): string {
  return join(folder, readdirSync(folder).find((name) => name.startsWith('MANIFEST')) as string)
}
