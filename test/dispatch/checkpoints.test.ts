/** Checkpoints: durable, never going back within a generation, and written again until they are. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Clock } from '../../src/clock.js'
import { systemClock } from '../../src/clock.js'
import { Checkpoints } from '../../src/dispatch/checkpoints.js'
import { decodeCheckpoint, encodeCheckpoint } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { eventually } from '../helpers/live-events.js'
import { seeded } from '../helpers/random.js'

const LOG = 'a'.repeat(36)
const OPTIONS = { writeBufferSize: 65_536, cacheSize: 65_536, compression: false }

/** Time goes so fast that every pause is over at once. */
const hasty: Clock = {
  ...systemClock,
  after(_ms, callback) {
    const soon = setImmediate(callback)
    return () => clearImmediate(soon)
  }
}

/** Lets the next writes fail, as a full disk would. */
function failing(t: Test, times: number): { failed: number } {
  const { writeSynced } = Level.prototype
  const count = { failed: 0 }
  Level.prototype.writeSynced = function (...words) {
    if (count.failed >= times) return writeSynced.apply(this, words)
    count.failed++
    return Promise.reject(new Error('No space left on device'))
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  return count
}

t.test('what was saved is there after a new start, and what was removed is not', async (t) => {
  const directory = t.testdir({})
  const before = await Checkpoints.open(directory, LOG, systemClock)
  await before.save('a', { cursor: 5, generation: 1, active: 7 })
  await before.save('größe', { cursor: -1, generation: 0, active: 0 })
  await before.save('gone', { cursor: 1, generation: 1, active: 1 })
  await before.remove('gone')
  await before.close()
  const after = await Checkpoints.open(directory, LOG, systemClock)
  t.match(after.get('a'), { cursor: 5, generation: 1, active: 7 })
  t.match(after.get('größe'), { cursor: -1, generation: 0, active: 0 })
  t.equal(after.get('gone'), undefined)
  await after.close()
})

t.test('one that is saved the moment another is answered is written, too', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), LOG, systemClock)
  for (let cursor = 0; cursor < 100; cursor++) await checkpoints.save('a', { cursor, generation: 1, active: 1 })
  t.match(checkpoints.get('a'), { cursor: 99 })
  await checkpoints.close()
})

t.test('a place never goes back within a generation, and a new generation may put it anywhere', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), LOG, systemClock)
  await checkpoints.save('a', { cursor: 5, generation: 1, active: 1 })
  await checkpoints.save('a', { cursor: 3, generation: 1, active: 2 })
  t.match(checkpoints.get('a'), { cursor: 5, active: 2 })
  await checkpoints.save('a', { cursor: 3, generation: 2, active: 3 })
  t.match(checkpoints.get('a'), { cursor: 3, generation: 2 })
  t.throws(() => checkpoints.save('a', { cursor: 9, generation: 1, active: 4 }), /goes back to generation 1/)
  await checkpoints.close()
})

t.test('checkpoints of another log, and such as were damaged, count as none', async (t) => {
  const directory = t.testdir({})
  const before = await Checkpoints.open(directory, LOG, systemClock)
  await before.save('a', { cursor: 5, generation: 1, active: 1 })
  await before.save('b', { cursor: 6, generation: 1, active: 1 })
  await before.close()
  const level = await Level.open(join(directory, 'checkpoints'), OPTIONS)
  const batch = level.batch()
  batch.put(Buffer.from('b'), Buffer.from('nonsense'))
  await level.writeSynced(batch)
  await level.close()
  const same = await Checkpoints.open(directory, LOG, systemClock)
  t.match(same.get('a'), { cursor: 5 })
  t.equal(same.get('b'), undefined)
  await same.close()
  const other = await Checkpoints.open(directory, 'b'.repeat(36), systemClock)
  t.equal(other.get('a'), undefined)
  await other.close()
})

t.test('no flipped bit makes another checkpoint of one', async (t) => {
  const random = seeded(t)
  const checkpoint = { cursor: random.int(-1, 1e9), generation: random.int(0, 1e6), active: random.int(0, 1e12) }
  const sealed = encodeCheckpoint('name', checkpoint, LOG)
  t.match(decodeCheckpoint('name', sealed, LOG), checkpoint)
  t.equal(decodeCheckpoint('other', sealed, LOG), undefined, 'nor the one of another name')
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Buffer.from(sealed)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    if (decodeCheckpoint('name', flipped, LOG) !== undefined) t.fail(`bit ${bit}`)
  }
})

t.test('a write that fails is tried again until it succeeds, and says meanwhile why it did not', async (t) => {
  const directory = t.testdir({})
  const checkpoints = await Checkpoints.open(directory, LOG, hasty)
  const count = failing(t, 3)
  const saved = checkpoints.save('a', { cursor: 5, generation: 1, active: 1 })
  await eventually('it failed', () => checkpoints.failure !== undefined)
  t.match(checkpoints.failure?.message, /No space left/)
  t.match(checkpoints.get('a'), { cursor: 5 }, 'what is known goes on meanwhile')
  await saved
  t.equal(count.failed, 3)
  t.equal(checkpoints.failure, undefined)
  await checkpoints.close()
  const after = await Checkpoints.open(directory, LOG, systemClock)
  t.match(after.get('a'), { cursor: 5 })
  await after.close()
})

t.test('whoever waits while the server stops is told that it was not written', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), LOG, hasty)
  const count = failing(t, Infinity)
  const saved = checkpoints.save('a', { cursor: 5, generation: 1, active: 1 })
  const refused = t.rejects(saved, { code: 'stopping' })
  await eventually('it failed', () => count.failed > 0)
  await checkpoints.close()
  await refused
})

t.test('what comes together is written together', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), LOG, systemClock)
  const { writeSynced } = Level.prototype
  let writes = 0
  Level.prototype.writeSynced = function (...words) {
    writes++
    return writeSynced.apply(this, words)
  }
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  const save = (i: number) => checkpoints.save(`c-${i}`, { cursor: i, generation: 1, active: 1 })
  await Promise.all(Array.from({ length: 500 }, (_, i) => save(i)))
  t.equal(writes, 1)
  await checkpoints.close()
})

t.test('what is saved after it was closed is refused, and so is what waits for its time meanwhile', async (t) => {
  const checkpoints = await Checkpoints.open(t.testdir({}), LOG, systemClock)
  await checkpoints.save('a', { cursor: 1, generation: 1, active: 1 })
  await checkpoints.close()
  await t.rejects(checkpoints.save('a', { cursor: 2, generation: 1, active: 1 }), { code: 'stopping' })
  await t.rejects(checkpoints.remove('a'), { code: 'stopping' })
})

t.test('closing writes what waits', async (t) => {
  const directory = t.testdir({})
  const before = await Checkpoints.open(directory, LOG, systemClock)
  const saved = before.save('a', { cursor: 1, generation: 1, active: 1 })
  await before.close()
  await saved
  const after = await Checkpoints.open(directory, LOG, systemClock)
  t.match(after.get('a'), { cursor: 1 })
  await after.close()
})
