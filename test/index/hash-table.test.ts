/** The answer "not found" of a hash table is reliable: missing pages and older versions of pages are detected. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { HashTable } from '../../src/index/hash-table/hash-table.js'
import type { TableState } from '../../src/index/hash-table/table-write.js'
import { changedPagesKey, pageKey, pageVersionsKey, sealEntry, type Table, table } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'

const LEVEL = { writeBufferSize: 1 << 20, cacheSize: 1 << 20, compression: false }

/** Writes changes as the index does. @returns the state for reopening the table */
async function write(
  level: Level,
  hashes: HashTable,
  changes: Parameters<HashTable['prepare']>[0]
): Promise<TableState> {
  await hashes.prepare(changes)
  const batch = level.batch()
  await hashes.put(batch)
  const state = hashes.nextState
  await level.write(batch)
  hashes.written()
  return state
}

t.test('a table returns the same as a map, through growth, changed values and reopening', async (t) => {
  const random = seeded(t)
  for (const kind of [table.lists, table.ids] as Table[]) {
    const level = await Level.open(join(t.testdir({}), kind), LEVEL)
    let hashes = await HashTable.open(level, kind, undefined)
    let state: TableState | undefined
    const model = new Map<string, number>()
    for (let round = 0; round < scaled(150, 75); round++) {
      const fresh = Array.from({ length: random.int(0, 60) }, (_, i) => ({
        key: `k-${round}-${i}`,
        value: random.int(1, 255)
      }))
      const known = kind === table.ids ? [] : [...model].filter(() => random.chance(0.05))
      const changes = [
        ...fresh.map(({ key, value }) => ({ hash: hashes.hashOf(key), value })),
        ...known.map(([key, before]) => ({ hash: hashes.hashOf(key), before, value: (before % 255) + 1 }))
      ]
      for (const { key, value } of fresh) model.set(key, value)
      for (const [key, before] of known) model.set(key, (before % 255) + 1)
      state = await write(level, hashes, changes)
      if (random.chance(0.1)) hashes = await HashTable.open(level, kind, state)
      const asked = [...model.keys()].filter(() => random.chance(0.02))
      const found = await hashes.find([...asked, 'none'].map((key) => hashes.hashOf(key)))
      t.same(found, [...asked.map((key) => [model.get(key)]), []])
    }
    t.ok(hashes.pages > 100, `the table has ${hashes.pages} pages`)
    await level.close()
  }
})

t.test('prepared changes have no effect before they are written', async (t) => {
  const level = await Level.open(join(t.testdir({}), 'db'), LEVEL)
  const hashes = await HashTable.open(level, table.lists, undefined)
  await write(level, hashes, many(hashes, 'a', 50))
  await hashes.prepare(many(hashes, 'b', 500))
  t.same(await hashes.find([hashes.hashOf('b-7')]), [[]])
  const state = await write(level, hashes, many(hashes, 'c', 50))
  t.equal(state.entries, 100)
  t.same(await hashes.find(['a-7', 'b-7', 'c-7'].map((key) => hashes.hashOf(key))), [[7], [], [7]])
  await level.close()
})

t.test('a page that is missing, damaged or an older version is refused as damage', async (t) => {
  for (const how of ['gone', 'damaged', 'older'] as const) {
    const level = await Level.open(join(t.testdir({}), how), LEVEL)
    const hashes = await HashTable.open(level, table.lists, undefined)
    await write(level, hashes, many(hashes, 'a', 200))
    const older = await level.get(pageKey(table.lists, 3))
    const state = await write(level, hashes, many(hashes, 'a', 200, 7))
    const batch = level.batch()
    if (how === 'gone') batch.del(pageKey(table.lists, 3))
    else if (how === 'older') batch.put(pageKey(table.lists, 3), older as Buffer)
    else batch.put(pageKey(table.lists, 3), sealEntry(Buffer.from('other'), Buffer.from('x')))
    await level.write(batch)
    const again = await HashTable.open(level, table.lists, state)
    const asked = Array.from({ length: 200 }, (_, i) => again.hashOf(`a-${i}`))
    const outcomes = await Promise.allSettled(asked.map((key) => again.find([key])))
    const refused = outcomes.filter((one) => one.status === 'rejected')
    t.ok(refused.length > 0 && refused.length < 50, `${how}: ${refused.length} of 200 look-ups are refused`)
    t.ok(refused.every(({ reason }) => reason.code === 'index-damaged'))
    t.ok(
      outcomes.every((one) => one.status === 'rejected' || one.value[0]?.length === 1),
      'all other keys are found'
    )
    await level.close()
  }
})

t.test('a table whose page versions cannot be read does not open', async (t) => {
  for (const writes of [3, 70]) {
    const level = await Level.open(join(t.testdir({}), String(writes)), LEVEL)
    const hashes = await HashTable.open(level, table.ids, undefined)
    let state: TableState | undefined
    for (let i = 0; i < writes; i++) state = await write(level, hashes, many(hashes, `r${i}`, 5))
    await t.resolves(HashTable.open(level, table.ids, state))
    const batch = level.batch()
    batch.del(writes > 64 ? pageVersionsKey(table.ids, 64, 0) : changedPagesKey(table.ids, 2))
    await level.write(batch)
    await t.rejects(HashTable.open(level, table.ids, state), { code: 'index-damaged' })
    await level.close()
  }
})

/** Returns new entries `name-0`, `name-1` … with their number as the value, or changes of existing values. */
function many(hashes: HashTable, name: string, count: number, more = 0) {
  return Array.from({ length: count }, (_, i) => ({
    hash: hashes.hashOf(`${name}-${i}`),
    value: (i % 250) + more,
    ...(more > 0 && { before: i % 250 })
  }))
}

t.test('names chosen by a client do not all fall into one page', async (t: Test) => {
  const level = await Level.open(join(t.testdir({}), 'db'), LEVEL)
  const [one, other] = [
    await HashTable.open(level, table.lists, undefined),
    await HashTable.open(level, table.lists, undefined)
  ]
  const places = (hashes: HashTable) => Array.from({ length: 20 }, (_, i) => hashes.hashOf(`s-${i}`))
  t.notSame(places(one), places(other), 'every index has its own hash secret')
  await level.close()
})
