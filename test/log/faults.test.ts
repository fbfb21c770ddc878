/** Damage that LevelDB does not detect is detected at the start, by a read, or by verify. */
import { randomBytes, randomUUID } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import leveldown from 'leveldown'
import t, { type Test } from 'tap'
import { buildApp } from '../../routes/index.js'
import { decodeState, encodeState, type IndexState } from '../../src/index/storage/index-state.js'
import {
  encodeHead,
  FORMAT_VERSION,
  family,
  headKey,
  INDEX_STATE_KEY,
  LOG_META_KEY,
  positionKey,
  sealEntry
} from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { send } from '../helpers/http.js'

const LEVEL = { writeBufferSize: 1 << 22, cacheSize: 1 << 20, compression: false }

t.test('a bit flipped in the middle of the write-ahead log stops the start and names the lost positions', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 500)
  flipBit(largest(join(directory, 'log'), '.log'), 0.5)
  await refusesToOpen(t, directory, /damaged at \d+/)
  await refusesToOpen(t, directory, /damaged at \d+/, 'the next start is refused too')
  const report = await checkDirectory(directory)
  t.ok(report.events < 500, 'events are missing')
  const missing = report.kinds.find(({ code }) => code === 'record-missing')
  t.equal(missing?.count, 500 - report.events, 'verify counts each of them')
})

t.test('a bit flipped in the last record of the write-ahead log stops the start, without any gap', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const wal = largest(join(directory, 'log'), '.log')
  flipBit(wal, readFileSync(wal).length - 10)
  await refusesToOpen(t, directory, /damaged at 99: they were acknowledged/)
  const { disagreements } = await checkDirectory(directory)
  t.match(disagreements, [{ code: 'head-behind-witness', position: 99 }, { code: 'start-refused' }])
})

t.test('a truncated write-ahead log stops the start', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const wal = largest(join(directory, 'log'), '.log')
  truncateSync(wal, Math.floor(readFileSync(wal).length / 2))
  await refusesToOpen(t, directory, /damaged at \d+–99/)
})

t.test('a damaged write-ahead log is kept as evidence', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const wal = largest(join(directory, 'log'), '.log')
  flipBit(wal, 0.5)
  const damaged = readFileSync(wal)
  await refusesToOpen(t, directory, /damaged/)
  const kept = readdirSync(join(directory, 'log', 'evidence')).map((name) =>
    readFileSync(join(directory, 'log', 'evidence', name))
  )
  t.ok(kept.some((bytes) => bytes.equals(damaged)))
})

t.test('an undamaged log opens when its witness is missing or damaged', async (t) => {
  for (const garbage of [undefined, Buffer.from('nonsense'), Buffer.alloc(20)]) {
    const directory = await crashedDirectory(t.testdir({}), 50)
    if (garbage === undefined) rmSync(join(directory, 'witness'))
    else writeFileSync(join(directory, 'witness'), garbage)
    const store = await new Store({ directory }).open()
    t.equal(store.log.head, 49)
    await store.close()
  }
})

for (const compression of [false, true]) {
  t.test(
    `a read of a record with a flipped bit answers 500 log-damaged, and verify names it (compression ${compression})`,
    async (t) => {
      const directory = t.testdir({})
      const count = 3000
      let store = await new Store({ directory, compression }).open()
      for (let i = 0; i < count; i += 100) {
        const events = Array.from({ length: 100 }, (_, j) =>
          encodeEvent(`s-${(i + j) % 10}`, { data: { i: i + j, pad: randomBytes(100).toString('hex') } })
        )
        await store.writer.append({ events, conditions: [], kind: 'append' })
      }
      await store.close()
      // Opening moves the records of the write-ahead log to a table.
      await (await new Store({ directory, compression }).open()).close()
      flipBit(largest(join(directory, 'log'), '.ldb'), 0.5)

      const report = await checkDirectory(directory)
      const bad = report.disagreements.filter(({ code }) => code.startsWith('record-'))
      t.ok(bad.length > 0, 'verify reports it')
      store = await new Store({ directory, compression }).open()
      const app = await buildApp(store, { logLevel: 'silent', insecure: true })
      t.teardown(() => app.close())
      const lost = new Set(bad.map(({ position }) => position))
      for (const position of [...lost].slice(0, 3)) {
        const answer = await app.inject(`/events/${position}`)
        t.match(answer.json(), { status: 500, code: 'log-damaged' }, `position ${position}`)
        t.notMatch(answer.body, directory, 'the response contains no path')
      }
      const good = [0, count - 1].find((position) => !lost.has(position))
      t.equal((await app.inject(`/events/${good}`)).statusCode, 200, 'other events can be read')
      const url = await app.listen({ host: '127.0.0.1', port: 0 })
      const { text, complete } = await send(`${url}/events?format=ndjson`)
      const last = JSON.parse(text.trimEnd().split('\n').at(-1) as string)
      t.match(last, { problem: { code: 'log-damaged' } }, 'the last line of a stream is the problem')
      t.notOk(complete, 'the response is aborted without its last chunk')
    }
  )
}

t.test('a missing record below the head is reported as damage, not as "not found"', async (t) => {
  const directory = await filled(t, 200)
  await withLevel(join(directory, 'log'), (batch) => batch.del(positionKey(17)))
  const { disagreements } = await checkDirectory(directory)
  t.match(disagreements, [{ code: 'record-missing', position: 17 }])
  const store = await new Store({ directory }).open()
  const app = await buildApp(store, { logLevel: 'silent', insecure: true })
  t.teardown(() => app.close())
  t.match((await app.inject('/events/17')).json(), { status: 500, code: 'log-damaged' })
  t.match((await app.inject('/events?from=10&limit=20')).json(), { status: 500, code: 'log-damaged' })
})

t.test('a missing, damaged, foreign or outdated index, or one ahead of the log, is rebuilt', async (t) => {
  const spoil: Record<string, (directory: string) => Promise<void> | void> = {
    missing: (index) => rmSync(index, { recursive: true }),
    'without its CURRENT': (index) => rmSync(join(index, 'CURRENT')),
    'with a damaged manifest': (index) => flipBit(join(index, manifestOf(index)), 0.5),
    'of another log': (index) => withState(index, (state) => ({ ...state, log: 'another' })),
    'ahead of the log': (index) => withState(index, (state) => ({ ...state, goodTo: 500 })),
    'with an outdated head': (index) =>
      withLevel(index, (batch) =>
        batch.put(
          headKey(family.stream, 's-1'),
          sealEntry(headKey(family.stream, 's-1'), encodeHead({ id: 1, count: 2, updated: 1, tail: [1, 4] }, 1))
        )
      ),
    'without a head': (index) => withLevel(index, (batch) => batch.del(headKey(family.stream, 's-2')))
  }
  for (const [how, damage] of Object.entries(spoil)) {
    const directory = await filled(t, 200)
    await damage(join(directory, 'index'))
    const store = await new Store({ directory }).open()
    t.equal((await store.sources.of('s-1')).head, 66, `index ${how}: the head of a stream is correct`)
    await store.writer.append({ events: [encodeEvent('s-1')], conditions: [], kind: 'append' })
    await store.close()
    t.same((await checkDirectory(directory)).disagreements, [], `index ${how}: log and index agree afterwards`)
  }
})

t.test('bits flipped anywhere in a table of the index never lead to wrong events in a response', async (t) => {
  const directory = await filled(t, 2000)
  await (await new Store({ directory }).open()).close()
  const table = largest(join(directory, 'index'), '.ldb')
  const size = readFileSync(table).length
  for (let share = 0.02; share < 1; share += 0.1) {
    const copy = join(t.testdirName, `copy-${share.toFixed(2)}`)
    cpSync(directory, copy, { recursive: true })
    flipBit(join(copy, 'index', table.split('/').at(-1) as string), Math.floor(size * share))
    const store = await new Store({ directory: copy }).open().catch(() => undefined)
    if (store === undefined) continue
    for (const stream of ['s-0', 's-1', 's-2']) {
      const app = await buildApp(store, { logLevel: 'silent', insecure: true })
      const { body, statusCode } = await app.inject(`/streams/${stream}?limit=4096`)
      const events = statusCode === 200 ? (JSON.parse(body).events as { stream: string; number: number }[]) : []
      t.ok(
        events.every((event, i) => event.stream === stream && event.number === i),
        `bit at ${share.toFixed(2)}: status ${statusCode}, every event is of ${stream} and has its number`
      )
    }
    await store.close()
    t.ok(existsSync(copy))
  }
})

t.test('a directory of a newer format, or of another LevelDB application, is refused', async (t) => {
  const newer = await filled(t, 3)
  const format = FORMAT_VERSION + 1
  const meta = Buffer.from(JSON.stringify({ format, log: randomUUID(), what: 'nobody knows' }))
  for (const value of [meta, sealEntry(LOG_META_KEY, meta)]) {
    await withLevel(join(newer, 'log'), (batch) => batch.put(LOG_META_KEY, value))
    const refusal = { code: 'format-unknown', message: new RegExp(`format ${format}`) }
    await t.rejects(new Store({ directory: newer }).open(), refusal)
    await t.rejects(checkDirectory(newer), refusal)
  }
  const foreign = t.testdir({})
  await withLevel(join(foreign, 'log'), (batch) => batch.put(Buffer.from('a'), Buffer.from('b')))
  await t.rejects(new Store({ directory: foreign }).open(), { code: 'format-unknown', message: /not a Daybook log/ })
})

t.test('a directory that another process has open is refused', async (t) => {
  const directory = t.testdir({})
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  await t.rejects(new Store({ directory }).open(), { code: 'directory-in-use' })
})

t.test('leveldown silently drops acknowledged records of a damaged write-ahead log', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 500)
  flipBit(largest(join(directory, 'log'), '.log'), 0.5)
  const db = leveldown(join(directory, 'log')) as unknown as {
    open(callback: (error?: Error) => void): void
    close(callback: () => void): void
  }
  await new Promise<void>((resolve, reject) => db.open((error) => (error ? reject(error) : resolve())))
  t.pass('leveldown opens the database without an error')
  await new Promise<void>((resolve) => db.close(resolve))
})

async function refusesToOpen(t: Test, directory: string, message: RegExp, why = 'the start is refused'): Promise<void> {
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message }, why)
}

/** Returns a closed directory with `count` events in three streams. */
async function filled(t: Test, count: number): Promise<string> {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  const events = Array.from({ length: count }, (_, i) => encodeEvent(`s-${i % 3}`, { data: { i } }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
  await store.close()
  // This start moves the verified position to the end, so that later damage is detected by reading, not by a start.
  await (await new Store({ directory }).open()).close()
  return directory
}

async function withLevel(
  directory: string,
  change: (batch: ReturnType<Level['batch']>, level: Level) => unknown
): Promise<void> {
  const level = await Level.open(directory, LEVEL)
  const batch = level.batch()
  await change(batch, level)
  await level.writeSynced(batch)
  await level.close()
}

function withState(index: string, change: (state: IndexState) => IndexState): Promise<void> {
  return withLevel(index, async (batch, level) => {
    const state = decodeState((await level.get(INDEX_STATE_KEY)) as Buffer)
    batch.put(INDEX_STATE_KEY, encodeState(change(state)))
  })
}

function manifestOf(index: string): string {
  return readdirSync(index).find((name) => name.startsWith('MANIFEST')) as string
}
