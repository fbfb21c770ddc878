/** The report of `verify` on damage: all kinds, causes first, counts with a few examples, and advice. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { checkpointKey, encodeCheckpoint, positionKey } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { daybook } from '../helpers/cli.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'

const EVENTS = 3000
const LEVEL = { writeBufferSize: 1 << 22, cacheSize: 1 << 20, compression: false }

t.test('a damaged event is one disagreement, and its index entries are no disagreements', async (t) => {
  const directory = await filled(t)
  await damageRecord(directory, 1000)
  const report = await checkDirectory(directory)
  t.match(report.kinds, [{ code: 'record-damaged', part: 'log', count: 1, positions: '1000' }])
  t.equal(report.kinds.length, 1)
  t.match(report.advice.join('\n'), `daybook recover --db ${directory}`)
  t.notMatch(report.advice.join('\n'), '--rebuild-index', 'the index is undamaged')
  const result = await daybook(['verify', '--db', directory])
  t.equal(result.code, 1)
  t.ok(result.stdout.split('\n').length < 10, result.stdout)
  t.match(result.stdout, /^record-damaged \(1\): .* Positions: 1000\.\n {2}position 1000: /)
})

t.test('many lost events are reported as a count, their ranges and the first examples', async (t) => {
  const directory = await filled(t)
  await change(join(directory, 'log'), (batch) => {
    for (let position = 500; position < 1500; position++) batch.del(positionKey(position))
    batch.del(positionKey(2000))
  })
  const report = await checkDirectory(directory)
  t.match(report.kinds, [{ code: 'record-missing', count: 1001, positions: '500–1499, 2000' }])
  t.equal(report.kinds.length, 1, 'the index entries of lost events are no disagreements')
  t.equal(report.disagreements.length, limits.disagreements_shown_max)
  t.equal(report.events, EVENTS - 1001)
  const { stdout } = await daybook(['verify', '--db', directory])
  t.match(stdout, 'and 996 more')
  t.ok(stdout.split('\n').length < 15, stdout)
})

t.test('one run reports damage of the log, the index and the checkpoints, causes first', async (t) => {
  const directory = await filled(t)
  const place = { log: 'another', head: 5, cursor: 1, generation: 1, active: 0 }
  await change(join(directory, 'checkpoints'), (batch) => {
    const key = checkpointKey('consumer', 'reports')
    const good = checkpointKey('consumer', 'mails')
    batch.put(key, encodeCheckpoint(good, place))
    batch.put(good, encodeCheckpoint(good, place))
  })
  await damageRecord(directory, 10)
  flipBit(largest(join(directory, 'index'), '.ldb'), 0.5)
  truncateSync(join(directory, 'witness'), 3)
  const before = snapshot(directory)
  const report = await checkDirectory(directory)
  t.same(snapshot(directory), before, 'verify changes nothing')
  const codes = report.kinds.map(({ code }) => code)
  t.same(codes, ['record-damaged', 'witness-damaged', 'index-table-damaged', 'checkpoint-damaged'])
  t.match(report.disagreements.at(-1)?.detail, '"reports"')
  const advice = report.advice.join('\n')
  t.ok(advice.indexOf('recover') < advice.indexOf('--rebuild-index'), 'advice on the log precedes advice on the index')
})

t.test('verify reads a write-ahead log that was not replayed yet, and does not change it', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const wal = largest(join(directory, 'log'), '.log')
  truncateSync(wal, statSync(wal).size >> 1)
  const before = snapshot(directory)
  const first = await checkDirectory(directory)
  t.match(first.kinds[0], { code: 'head-behind-witness', count: Number })
  t.same(snapshot(directory), before)
  t.same(await checkDirectory(directory), first, 'a second run has the same report')
})

t.test('the command that verify advises for a damaged index repairs it', async (t) => {
  const spoil: Record<string, [string, (index: string) => unknown]> = {
    'a flipped bit in a table': ['index-table-damaged', (index) => flipBit(largest(index, '.ldb'), 0.4)],
    'an empty CURRENT': ['index-unusable', (index) => truncateSync(join(index, 'CURRENT'), 0)],
    'a manifest that is gone': ['index-unusable', (index) => rmSync(join(index, manifestOf(index)))],
    'a table that is gone': ['index-unusable', (index) => rmSync(largest(index, '.ldb'))],
    'a note of damage': ['index-marked', (index) => writeFileSync(join(index, 'DAMAGED'), 'found')]
  }
  const good = await filled(t)
  for (const [how, [code, damage]] of Object.entries(spoil)) {
    const directory = `${good}-${how.replace(/\W/g, '-')}`
    cpSync(good, directory, { recursive: true })
    damage(join(directory, 'index'))
    const report = await checkDirectory(directory)
    t.match(report.kinds, [{ code, part: 'index' }], how)
    t.same(report.advice, [`"daybook verify --db ${directory} --rebuild-index" rebuilds the index from the log.`])
    const mended = await daybook(['verify', '--db', directory, '--rebuild-index'])
    t.match(mended, { code: 0, stdout: '', stderr: /everything agrees/ }, how)
  }
})

t.test('damaged checkpoints and a missing witness are reported', async (t) => {
  const directory = await filled(t)
  truncateSync(join(directory, 'checkpoints', 'CURRENT'), 0)
  rmSync(join(directory, 'witness'))
  const { kinds } = await checkDirectory(directory)
  t.match(kinds, [{ code: 'witness-missing' }, { code: 'checkpoints-unusable', count: 1 }])
  t.notOk(existsSync(join(directory, 'witness')), 'verify does not create a witness')
})

t.test('a log that LevelDB cannot open is a disagreement, and the advice names recover', async (t) => {
  const good = await filled(t)
  const spoil: Record<string, (log: string) => unknown> = {
    'no CURRENT': (log) => rmSync(join(log, 'CURRENT')),
    'an empty CURRENT': (log) => truncateSync(join(log, 'CURRENT'), 0),
    'no manifest': (log) => rmSync(join(log, manifestOf(log))),
    'a table gone': (log) => rmSync(largest(log, '.ldb'))
  }
  for (const [how, damage] of Object.entries(spoil)) {
    const directory = `${good}-${how.replace(/\W/g, '-')}`
    cpSync(good, directory, { recursive: true })
    damage(join(directory, 'log'))
    const result = await daybook(['verify', '--db', directory])
    t.equal(result.code, 1, how)
    t.match(result.stdout, /^log-unreadable \(1\)/)
    t.match(result.stdout, `daybook recover --db ${directory}`)
    t.notMatch(result.stdout, 'inspection-', 'the report contains no path of the view')
  }
})

t.test('a damaged identity of the log is reported, and the events are still checked', async (t) => {
  const directory = await filled(t)
  await change(join(directory, 'log'), (batch) => batch.put(Buffer.from([0]), Buffer.from('nonsense')))
  await damageRecord(directory, 7)
  const { kinds, events } = await checkDirectory(directory)
  t.match(kinds, [{ code: 'log-meta-damaged' }, { code: 'record-damaged' }, { follows: 'log-meta-damaged' }])
  t.equal(events, EVENTS - 1)
})

t.test('a database that cannot be opened for a while makes verify fail, and is no disagreement', async (t) => {
  const directory = await filled(t)
  const { open } = Level
  t.teardown(() => {
    Level.open = open
  })
  for (const part of ['log', 'index', 'checkpoints']) {
    Level.open = (path, options) => {
      if (!path.endsWith(part)) return open.call(Level, path, options)
      const cause = new Error(`IO error: ${path}/000005.ldb: Too many open files`)
      throw new DaybookError('directory-unusable', `cannot open ${path}: ${cause.message}`, {}, cause)
    }
    const message = `cannot open ${join(directory, part)}: IO error: ${directory}/${part}/000005.ldb: Too many open files`
    await t.rejects(checkDirectory(directory), { code: 'directory-unusable', message }, part)
  }
  Level.open = open
  t.same((await checkDirectory(directory)).kinds, [])
  t.notOk(
    readdirSync(directory).some((name) => name.startsWith('inspection-')),
    'the view is removed'
  )
})

t.test('verify removes the view that a killed verify has left', async (t) => {
  const directory = await filled(t)
  mkdirSync(join(directory, 'inspection-abc', 'log'), { recursive: true })
  t.same((await checkDirectory(directory)).kinds, [])
  t.notOk(existsSync(join(directory, 'inspection-abc')))
})

t.test('verify follows symbolic links to databases and files', async (t) => {
  const directory = await filled(t)
  renameSync(join(directory, 'log'), `${directory}-elsewhere`)
  symlinkSync(`${directory}-elsewhere`, join(directory, 'log'))
  const table = largest(join(directory, 'index'), '.ldb')
  renameSync(table, `${directory}-table`)
  symlinkSync(`${directory}-table`, table)
  t.match(await checkDirectory(directory), { events: EVENTS, kinds: [] })
})

t.test('a missing index entry counts as one disagreement, and so does an extra one', async (t) => {
  const { decodeHead, encodeHead, family, headKey, openEntry, sealEntry } = await import('../../src/log/format.js')
  const directory = await filled(t)
  const key = headKey(family.type, 'Even')
  await change(join(directory, 'index'), async (batch, level) => {
    const head = decodeHead(openEntry(key, (await level.get(key)) as Buffer))
    const tail = [...head.tail]
    tail.splice(3, 1, (tail[3] as number) + 1)
    batch.put(key, sealEntry(key, encodeHead({ ...head, tail }, head.version)))
  })
  const { kinds, disagreements } = await checkDirectory(directory)
  t.match(kinds, [{ code: 'index-wrong', count: 2 }])
  t.match(disagreements, [
    { detail: /is not in type "Even"/ },
    { detail: /type "Even" has position .* does not belong/ }
  ])
})

async function filled(t: Test): Promise<string> {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  const events = Array.from({ length: EVENTS }, (_, i) =>
    encodeEvent(`cart-${i % 70}`, { type: i % 2 === 0 ? 'Even' : 'Odd', data: { i } })
  )
  await store.writer.append({ events, conditions: [], kind: 'append' })
  await store.close()
  await (await new Store({ directory }).open()).close()
  return directory
}

async function change(
  directory: string,
  what: (batch: ReturnType<Level['batch']>, level: Level) => unknown
): Promise<void> {
  const level = await Level.open(directory, LEVEL)
  const batch = level.batch()
  await what(batch, level)
  await level.writeSynced(batch)
  await level.close()
}

function damageRecord(directory: string, position: number): Promise<void> {
  return change(join(directory, 'log'), async (batch, level) => {
    const value = (await level.get(positionKey(position))) as Buffer
    value[50] = (value[50] as number) ^ 1
    batch.put(positionKey(position), value)
  })
}

/** Returns the content of every file of a directory. */
function snapshot(directory: string): Record<string, string> {
  const files: Record<string, string> = {}
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const path = join(directory, name)
    if (statSync(path).isFile()) files[name] = readFileSync(path, 'latin1')
  }
  return files
}

function manifestOf(directory: string): string {
  return readdirSync(directory).find((name) => name.startsWith('MANIFEST')) as string
}
