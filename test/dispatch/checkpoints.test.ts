/** Checkpoints are durable and never go back within a generation; failed writes are retried. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { Checkpoints } from '../../src/dispatch/checkpoints.js'
import { checkpointKey, decodeCheckpoint, encodeCheckpoint } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import type { Clock } from '../../src/time/clock.js'
import { systemClock } from '../../src/time/clock.js'
import { appendTo, eventually, many } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'

/** A log whose head is beyond every cursor in these tests. */
const store = await new Store({ directory: t.testdir({}) }).open()
await appendTo(store, 's', ...many(1000))
const { log } = store
t.teardown(() => store.close())

const OPTIONS = { writeBufferSize: 65_536, cacheSize: 65_536, compression: false }

/** A clock on which every pause ends at once. */
const hasty: Clock = {
  ...systemClock,
  after(_ms, callback) {
    const soon = setImmediate(callback)
    return () => clearImmediate(soon)
  }
}

/** Lets the next writes fail with a disk error. */
function failing(t: Test, times: number): { failed: number } {
  const { writeSynced } = Level.prototype
  const count = { failed: 0 }
  Level.prototype.writeSynced = function (...words) {
    if (count.failed >= times) return writeSynced.apply(this, words)
    count.failed++
    return Promise.reject(new Error('Input/output error'))
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  return count
}

t.test('after a restart saved checkpoints are there, and removed ones are not', async (t) => {
  const directory = t.testdir({})
  const before = await Checkpoints.open(directory, log, systemClock)
  await before.save('consumer', 'a', { cursor: 5, generation: 1, active: 7 })
  await before.save('consumer', 'größe', { cursor: -1, generation: 0, active: 0 })
  await before.save('consumer', 'gone', { cursor: 1, generation: 1, active: 1 })
  await before.remove('consumer', 'gone')
  await before.close()
  const after = await Checkpoints.open(directory, log, systemClock)
  t.match(after.get('consumer', 'a'), { cursor: 5, generation: 1, active: 7 })
  t.match(after.get('consumer', 'größe'), { cursor: -1, generation: 0, active: 0 })
  t.equal(after.get('consumer', 'gone'), undefined)
  await after.close()
})

t.test('a checkpoint that is saved when another save resolves is written', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), log, systemClock)
  for (let cursor = 0; cursor < 100; cursor++)
    await checkpoints.save('consumer', 'a', { cursor, generation: 1, active: 1 })
  t.match(checkpoints.get('consumer', 'a'), { cursor: 99 })
  await checkpoints.close()
})

t.test('a cursor never goes back within a generation, and a new generation may set any cursor', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), log, systemClock)
  await checkpoints.save('consumer', 'a', { cursor: 5, generation: 1, active: 1 })
  await checkpoints.save('consumer', 'a', { cursor: 3, generation: 1, active: 2 })
  t.match(checkpoints.get('consumer', 'a'), { cursor: 5, active: 2 })
  await checkpoints.save('consumer', 'a', { cursor: 3, generation: 2, active: 3 })
  t.match(checkpoints.get('consumer', 'a'), { cursor: 3, generation: 2 })
  t.throws(() => checkpoints.save('consumer', 'a', { cursor: 9, generation: 1, active: 4 }), /cannot go back to 1/)
  await checkpoints.close()
})

t.test('checkpoints of another log and damaged checkpoints are ignored', async (t) => {
  const root = t.testdir({})
  const directory = join(root, 'checkpoints-of-one')
  const before = await Checkpoints.open(directory, log, systemClock)
  await before.save('consumer', 'a', { cursor: 5, generation: 1, active: 1 })
  await before.save('consumer', 'b', { cursor: 6, generation: 1, active: 1 })
  await before.close()
  await put(directory, checkpointKey('consumer', 'b'), Buffer.from('nonsense'))
  const same = await Checkpoints.open(directory, log, systemClock)
  t.match(same.get('consumer', 'a'), { cursor: 5, validUpTo: Infinity })
  t.equal(same.get('consumer', 'b'), undefined)
  t.equal(same.get('group', 'a'), undefined, 'another kind does not have the name')
  t.same(same.names('consumer'), ['a'])
  await same.close()
  const stranger = await new Store({ directory: join(root, 'another') }).open()
  t.teardown(() => stranger.close())
  const other = await Checkpoints.open(directory, stranger.log, systemClock)
  t.equal(other.get('consumer', 'a'), undefined)
  t.same(other.names('consumer'), [])
  t.same(stranger.log.ancestors, [], 'a checkpoint of an unrelated log gives the log no ancestors')
  await other.close()
})

t.test('a checkpoint with a flipped bit is not decoded', async (t) => {
  const random = seeded(t)
  const checkpoint = {
    log: log.id,
    cursor: random.int(-1, 1e9),
    generation: random.int(0, 1e6),
    active: random.int(0, 1e12)
  }
  const key = checkpointKey('consumer', 'name')
  const sealed = encodeCheckpoint(key, checkpoint)
  t.same(decodeCheckpoint(key, sealed), checkpoint)
  t.equal(
    decodeCheckpoint(checkpointKey('consumer', 'other'), sealed),
    undefined,
    'a value is not decoded under another name'
  )
  t.equal(
    decodeCheckpoint(checkpointKey('group', 'name'), sealed),
    undefined,
    'a value is not decoded under another kind'
  )
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Buffer.from(sealed)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    if (decodeCheckpoint(key, flipped) !== undefined) t.fail(`bit ${bit}`)
  }
})

t.test('checkpoints of format 1 are read, and rewritten under the key of their kind', async (t) => {
  const directory = t.testdir({})
  const old = { log: log.id, cursor: 7, generation: 3, active: 4 }
  const foreign = { ...old, log: randomUUID() }
  for (const [name, checkpoint] of Object.entries({ größe: old, 'of-another-log': foreign })) {
    await put(directory, Buffer.from(name), encodeCheckpoint(Buffer.from(name), checkpoint))
  }
  const first = await Checkpoints.open(directory, log, systemClock)
  t.match(first.get('consumer', 'größe'), { cursor: 7, generation: 3, active: 4, validUpTo: Infinity })
  await first.close()
  const keys = await keysOf(directory)
  t.same(keys, ['\u0001größe', 'of-another-log'], 'checkpoints of another log stay unchanged')
  const second = await Checkpoints.open(directory, log, systemClock)
  t.match(second.get('consumer', 'größe'), { cursor: 7, generation: 3 })
  await second.close()
})

t.test('a log that is shorter than a checkpoint records gets a new identity', async (t) => {
  const root = t.testdir({})
  const cases: Record<string, (id: string) => object> = {
    'by its head': (log) => ({ log, head: 20, cursor: 3 }),
    'of format 1, by its cursor': (log) => ({ log, cursor: 20 }),
    'of a descendant, by its lineage': (log) => ({
      log: randomUUID(),
      ancestors: [{ log, upTo: 20 }],
      head: 50,
      cursor: 3
    })
  }
  for (const [how, stored] of Object.entries(cases)) {
    const directory = join(root, how.replace(/\W/g, '-'))
    const before = await new Store({ directory }).open()
    await appendTo(before, 's', ...many(10))
    const { id } = before.log
    await before.close()
    const value = { generation: 1, active: 1, ...stored(id) }
    await put(
      directory,
      checkpointKey('consumer', 'c'),
      encodeCheckpoint(checkpointKey('consumer', 'c'), value as never)
    )
    const after = await new Store({ directory }).open()
    t.same(after.log.ancestors, [{ log: id, upTo: 9 }], how)
    t.match(after.log.renewal, { why: 'a checkpoint was written when the log reached position 20' }, how)
    const renewed = after.log.id
    await after.close()
    const again = await new Store({ directory }).open()
    t.equal(again.log.id, renewed, `${how}: once`)
    await again.close()
  }
})

t.test('a failed write is retried until it succeeds, and `failure` has the error meanwhile', async (t) => {
  const directory = t.testdir({})
  const checkpoints = await Checkpoints.open(directory, log, hasty)
  const count = failing(t, 3)
  const saved = checkpoints.save('consumer', 'a', { cursor: 5, generation: 1, active: 1 })
  await eventually('the write failed', () => checkpoints.failure !== undefined)
  t.match(checkpoints.failure?.message, /Input.output error/)
  t.match(checkpoints.get('consumer', 'a'), { cursor: 5 }, 'the checkpoint in memory is used meanwhile')
  await saved
  t.equal(count.failed, 3)
  t.equal(checkpoints.failure, undefined)
  await checkpoints.close()
  const after = await Checkpoints.open(directory, log, systemClock)
  t.match(after.get('consumer', 'a'), { cursor: 5 })
  await after.close()
})

t.test('a save that is not on disk when the server stops is rejected', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), log, hasty)
  const count = failing(t, Infinity)
  const saved = checkpoints.save('consumer', 'a', { cursor: 5, generation: 1, active: 1 })
  const refused = t.rejects(saved, { code: 'stopping' })
  await eventually('the write failed', () => count.failed > 0)
  await checkpoints.close()
  await refused
})

t.test('saves that arrive together are written together', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), log, systemClock)
  const { writeSynced } = Level.prototype
  let writes = 0
  Level.prototype.writeSynced = function (...words) {
    writes++
    return writeSynced.apply(this, words)
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  const save = (i: number) => checkpoints.save('consumer', `c-${i}`, { cursor: i, generation: 1, active: 1 })
  await Promise.all(Array.from({ length: 500 }, (_, i) => save(i)))
  t.equal(writes, 1)
  await checkpoints.close()
})

t.test('saves after the close are refused, including paced saves that were waiting', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), log, systemClock)
  await checkpoints.save('consumer', 'a', { cursor: 1, generation: 1, active: 1 })
  await checkpoints.close()
  await t.rejects(checkpoints.save('consumer', 'a', { cursor: 2, generation: 1, active: 1 }), { code: 'stopping' })
  await t.rejects(checkpoints.remove('consumer', 'a'), { code: 'stopping' })
})

t.test('closing writes the waiting saves', async (t) => {
  const directory = t.testdir({})
  const before = await Checkpoints.open(directory, log, systemClock)
  const saved = before.save('consumer', 'a', { cursor: 1, generation: 1, active: 1 })
  await before.close()
  await saved
  const after = await Checkpoints.open(directory, log, systemClock)
  t.match(after.get('consumer', 'a'), { cursor: 1 })
  await after.close()
})

async function withLevel(directory: string, use: (level: Level) => Promise<void>): Promise<void> {
  const level = await Level.open(join(directory, 'checkpoints'), OPTIONS)
  await use(level)
  await level.close()
}

function put(directory: string, key: Buffer, value: Buffer): Promise<void> {
  return withLevel(directory, (level) => {
    const batch = level.batch()
    batch.put(key, value)
    return level.writeSynced(batch)
  })
}

async function keysOf(directory: string): Promise<string[]> {
  const keys: string[] = []
  await withLevel(directory, async (level) => {
    for await (const { key } of level.entries({})) keys.push(key.toString())
  })
  return keys
}
