/** The identity of a log: when a log gets a new one after a loss, and what its ancestors say. */
import { randomUUID } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { decodeLogMeta, encodeLogMeta, FORMAT_VERSION, LOG_META_KEY, positionKey } from '../../src/log/format.js'
import { Lineage } from '../../src/log/identity/lineage.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { serve } from '../helpers/cli.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { projectFile } from '../helpers/project.js'

const OPTIONS = { writeBufferSize: 1 << 22, cacheSize: 1 << 20, compression: false }

t.test('an ancestor is valid up to the lowest loss after it, and an unrelated log at no position', (t) => {
  const [a, b, c, d, stranger] = Array.from({ length: 5 }, () => randomUUID()) as [
    string,
    string,
    string,
    string,
    string
  ]
  const line = new Lineage(d, [
    { log: a, upTo: 50 },
    { log: b, upTo: 30 },
    { log: c, upTo: 70 }
  ])
  t.same(
    [a, b, c, d, stranger].map((log) => line.validUpTo(log)),
    [30, 30, 70, Infinity, undefined]
  )
  const other = {
    log: stranger,
    ancestors: [
      { log: b, upTo: 90 },
      { log: randomUUID(), upTo: 20 }
    ]
  }
  t.equal(line.sharedWith(other), 20, 'two logs share the events of their common ancestor before either loss')
  t.equal(line.sharedWith({ log: stranger }), undefined)
  t.equal(line.sharedWith({ log: a, ancestors: [] }), 30)
  t.equal(
    line.reachedBy({ log: stranger, ancestors: [{ log: d, upTo: 99 }] }, 500),
    99,
    'a descendant shows how long the log was'
  )
  t.equal(line.reachedBy({ log: d }, 500), 500)
  t.equal(line.reachedBy({ log: a }, 500), -1, 'an ancestor proves nothing about the log')
  const next = line.renewed(40, 2)
  t.same(
    next.ancestors.map(({ upTo }) => upTo),
    [70, 40],
    'the oldest ancestors are dropped'
  )
  t.equal(next.validUpTo(d), 40)
  t.end()
})

t.test('the checksum of the log meta detects any flipped bit', (t) => {
  const meta = { log: randomUUID(), ancestors: [{ log: randomUUID(), upTo: 7 }] }
  const stored = encodeLogMeta(meta)
  t.same(decodeLogMeta(stored), { format: FORMAT_VERSION, ...meta })
  for (let bit = 0; bit < stored.length * 8; bit++) {
    const flipped = Buffer.from(stored)
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
    t.throws(() => decodeLogMeta(flipped), { code: 'log-damaged' }, `bit ${bit}`)
  }
  t.end()
})

t.test('a damaged log meta makes every start fail with log-damaged and changes nothing', async (t) => {
  const sound = encodeLogMeta({ log: randomUUID(), ancestors: [] })
  const damaged = [
    Buffer.alloc(0),
    Buffer.from('nonsense'),
    Buffer.from('null'),
    Buffer.from('{"format":1}'),
    Buffer.from('{"format":1,"log":7}'),
    Buffer.from(`{"format":2,"log":"${randomUUID()}","ancestors":[]}`),
    sound.subarray(1)
  ]
  const directory = await filled(t, 'db', 3)
  for (const value of damaged) {
    await putMeta(directory, value)
    for (const start of ['first', 'second']) {
      const refusal = { code: 'log-damaged', message: /^the meta of the log cannot be read/ }
      await t.rejects(new Store({ directory }).open(), refusal, `${value}: the ${start} start`)
    }
    const [kind] = (await checkDirectory(directory)).kinds
    t.match(kind, { code: 'log-meta-damaged' }, 'verify reports it')
  }
  t.ok(existsSync(join(directory, 'witness')), 'the witness stays in its place')
  await putMeta(directory, sound)
  const { store } = await opened(t, directory)
  t.equal(store.log.head, 2, 'the log opens when its meta is restored')
})

t.test('a new log has no ancestors and keeps its identity while it loses nothing', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 20)
  const first = await opened(t, directory)
  const { id } = first.store.log
  t.same(first.store.log.ancestors, [], 'the log of a killed server keeps its identity')
  await first.store.close()
  const second = await opened(t, directory)
  t.match(second.store.log, { id, ancestors: [], renewal: undefined })
})

t.test('a directory of format 1 is migrated by opening, not by verifying', async (t) => {
  const directory = join(t.testdir({}), 'db')
  cpSync(projectFile('test/fixtures/format-1'), directory, { recursive: true })
  const report = await checkDirectory(directory)
  t.same(report.disagreements, [])
  t.equal(report.streams, 8, 'verify counts the streams without an index')
  t.match(await metaOf(directory), { format: 1 })
  const { store } = await opened(t, directory)
  const { id } = store.log
  await store.close()
  t.same(await metaOf(directory), { format: 2, log: id, ancestors: [] })
  t.same((await checkDirectory(directory)).disagreements, [])
  const again = await opened(t, directory)
  t.equal(again.store.log.id, id)
})

t.test('a log whose witness is missing or damaged gets a new identity, once', async (t) => {
  const directory = await filled(t, 'db', 10)
  const before = await metaOf(directory)
  rmSync(join(directory, 'witness'))
  const first = await opened(t, directory)
  const { log } = first.store
  t.not(log.id, before.log)
  t.same(log.ancestors, [{ log: before.log, upTo: 9 }])
  t.match(log.renewal, { from: before.log, to: log.id, upTo: 9, why: /witness/ })
  t.match(first.store.notices, [/new identity/])
  t.equal(log.validUpTo(before.log), 9)
  await first.store.close()
  const second = await opened(t, directory)
  t.match(
    second.store.log,
    { id: log.id, ancestors: log.ancestors, renewal: undefined },
    'the next start keeps the identity'
  )
  await second.store.close()
  truncateSync(join(directory, 'witness'), 5)
  const third = await opened(t, directory)
  t.same(third.store.log.ancestors, [...log.ancestors, { log: log.id, upTo: 9 }], 'another loss adds an ancestor')
})

t.test('a server whose log gets a new identity prints a warning', async (t) => {
  const directory = await filled(t, 'db', 10)
  const { log: id } = await metaOf(directory)
  rmSync(join(directory, 'witness'))
  const { child, banner } = await serve(['--db', directory, '--port', '0'])
  let output = banner
  child.stderr?.on('data', (chunk) => (output += chunk))
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  await ended
  t.match(output, /WARNING: the log has a new identity, [-\da-f]{36}: the file "witness"/)
  t.match(output, `positions up to 9 of the old identity ${id}`)
})

t.test('a start that cannot write the new identity fails, and the next start still gives one', async (t) => {
  const directory = await filled(t, 'db', 10)
  const { log: id } = await metaOf(directory)
  rmSync(join(directory, 'witness'))
  const { writeSynced } = Level.prototype
  t.teardown(() => {
    Level.prototype.writeSynced = writeSynced
  })
  Level.prototype.writeSynced = () => Promise.reject(new Error('No space left on device'))
  await t.rejects(new Store({ directory }).open(), { code: 'directory-unusable', message: /No space left/ })
  Level.prototype.writeSynced = writeSynced
  t.match(await metaOf(directory), { log: id })
  const { store } = await opened(t, directory)
  t.same(store.log.ancestors, [{ log: id, upTo: 9 }], 'the failed start has not hidden the loss')
})

t.test('after the evidence is removed, the log opens without the lost records and with a new identity', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const { log: id } = await metaOf(directory)
  const wal = largest(join(directory, 'log'), '.log')
  truncateSync(wal, Math.floor(readFileSync(wal).length / 2))
  const evidence = join(directory, 'log', 'evidence')
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message: /–99/ })
  await t.rejects(new Store({ directory }).open(), {
    code: 'log-damaged',
    message: new RegExp(`daybook recover --db ${directory}`)
  })
  t.ok(readdirSync(evidence).includes('witness'), 'the witness is in the folder of the evidence')
  const { events, disagreements } = await checkDirectory(directory)
  t.match(
    disagreements,
    [{ code: 'head-behind-witness', position: events }, { code: 'start-refused' }],
    'verify reports the loss'
  )
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged' }, 'verify does not accept the loss')

  rmSync(evidence, { recursive: true })
  const { store } = await opened(t, directory)
  t.equal(store.log.head, events - 1)
  t.same(store.log.ancestors, [{ log: id, upTo: events - 1 }])
  await appendTo(store, 5)
  await store.close()
  t.same((await checkDirectory(directory)).disagreements, [])
})

t.test('a start with a gap below the head is refused even after the evidence is removed', async (t) => {
  const directory = await filled(t, 'db', 100)
  await withLevel(join(directory, 'log'), (level) => {
    const batch = level.batch()
    batch.del(positionKey(50))
    return level.writeSynced(batch)
  })
  rmSync(join(directory, 'witness'))
  for (const start of ['first', 'second']) {
    rmSync(join(directory, 'log', 'evidence'), { recursive: true, force: true })
    await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message: /damaged at 50/ }, start)
  }
})

t.test('a log that has lost every record gets a new identity', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 10)
  const { log: id } = await metaOf(directory)
  await withLevel(join(directory, 'log'), (level) => {
    const batch = level.batch()
    for (let position = 0; position < 10; position++) batch.del(positionKey(position))
    return level.writeSynced(batch)
  })
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message: /0–9/ })
  rmSync(join(directory, 'log', 'evidence'), { recursive: true })
  const { store } = await opened(t, directory)
  t.match(store.log, { head: -1, ancestors: [{ log: id, upTo: -1 }] })
})

t.test(
  'a directory without its witness and all records of its write-ahead log does not pass for a new one',
  async (t) => {
    const directory = await crashedDirectory(t.testdir({}), 10)
    flipBit(largest(join(directory, 'log'), '.log'), 10)
    rmSync(join(directory, 'witness'))
    for (const start of ['first', 'second']) {
      await t.rejects(new Store({ directory }).open(), { code: 'log-damaged' }, `the ${start} start`)
    }
  }
)

t.test(
  'an index of an ancestor stays in use if it covers only valid positions, and gets the new identity',
  async (t) => {
    const directory = await filled(t, 'db', 50)
    rmSync(join(directory, 'witness'))
    const marker = join(directory, 'index', 'marker-of-a-rebuild')
    cpSync(join(directory, 'log', 'CURRENT'), marker)
    const { store } = await opened(t, directory)
    t.ok(existsSync(marker), 'the index was not rebuilt')
    await store.close()
    t.same((await checkDirectory(directory)).disagreements, [], 'verify accepts it as the index of this log')
    const again = await opened(t, directory)
    await appendTo(again.store, 1)
    await again.store.close()
    t.same((await checkDirectory(directory)).disagreements, [])
    t.ok(existsSync(marker), 'the index was not rebuilt by the next start')
  }
)

t.test('an index ahead of the log reveals that the log has lost its end', async (t) => {
  const root = t.testdir({})
  const directory = join(root, 'db')
  const { store } = await opened(t, directory)
  await appendTo(store, 10)
  await store.close()
  for (const name of ['log', 'witness']) cpSync(join(directory, name), join(root, `older-${name}`), { recursive: true })
  const later = await opened(t, directory)
  const { id } = later.store.log
  await appendTo(later.store, 10)
  await later.store.close()
  for (const name of ['log', 'witness']) {
    rmSync(join(directory, name), { recursive: true })
    cpSync(join(root, `older-${name}`), join(directory, name), { recursive: true })
  }
  const restored = await opened(t, directory)
  t.same(restored.store.log.ancestors, [{ log: id, upTo: 9 }])
  t.match(restored.store.log.renewal, { why: 'the index was written when the log reached position 19' })
  await appendTo(restored.store, 30)
  await restored.store.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'the index was rebuilt')
})

async function opened(t: Test, directory: string): Promise<{ store: Store }> {
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  return { store }
}

async function appendTo(store: Store, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => encodeEvent(`s-${i % 3}`, { data: { i } }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
}

async function filled(t: Test, name: string, count: number): Promise<string> {
  const directory = join(t.testdir({}), name)
  const store = await new Store({ directory }).open()
  await appendTo(store, count)
  await store.close()
  return directory
}

async function withLevel(directory: string, use: (level: Level) => Promise<void>): Promise<void> {
  const level = await Level.open(directory, OPTIONS)
  await use(level)
  await level.close()
}

function putMeta(directory: string, value: Buffer): Promise<void> {
  return withLevel(join(directory, 'log'), (level) => {
    const batch = level.batch()
    batch.put(LOG_META_KEY, value)
    return level.writeSynced(batch)
  })
}

/** Returns the log meta on disk. Reads it from a copy, because opening a database empties its write-ahead log. */
async function metaOf(directory: string) {
  const copy = `${directory}-copy`
  rmSync(copy, { recursive: true, force: true })
  cpSync(join(directory, 'log'), copy, { recursive: true })
  let stored: Buffer | undefined
  await withLevel(copy, async (level) => {
    stored = await level.get(LOG_META_KEY)
  })
  return decodeLogMeta(stored ?? Buffer.alloc(0))
}
