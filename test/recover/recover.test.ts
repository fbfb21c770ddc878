/** `daybook recover` shows what is lost, and makes a refused directory usable when the loss is accepted. */
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { LOG_META_KEY } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { acceptLoss } from '../../src/log/recovery/accept-loss.js'
import { isNeeded, planRecovery, type RecoveryPlan } from '../../src/recover/recovery-plan.js'
import { Store } from '../../src/store/store.js'
import { systemClock } from '../../src/time/clock.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { daybook, serve } from '../helpers/cli.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { seeded } from '../helpers/random.js'
import { pagesOf, storeWithTables, tablesOf, zeroPage } from '../helpers/tables.js'

const LEVEL = { writeBufferSize: 1 << 22, cacheSize: 1 << 20, compression: false }

t.test('recover shows a lost end, changes nothing without --accept-loss, and then gives a new identity', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 100)
  const id = await identityOf(t, directory)
  cutWriteAheadLog(directory)
  const cut = snapshot(directory)
  const result = await daybook(['recover', '--db', directory])
  t.equal(result.code, 1)
  t.match(result.stdout, /The end of the log is missing: \d+ events at positions \d+–99 that were acknowledged/)
  t.match(result.stdout, /\d+ events remain; the last is at position \d+, written at \d{4}-/)
  t.match(result.stdout, `daybook recover --db ${directory} --accept-loss`)
  t.same(snapshot(directory), cut, 'nothing was changed')

  const refusal = { code: 'log-damaged', message: /daybook recover --db/ }
  for (const start of ['first', 'second']) await t.rejects(new Store({ directory }).open(), refusal, start)
  const refused = snapshot(directory)
  t.match(
    await daybook(['recover', '--db', directory]),
    { code: 1, stdout: result.stdout },
    'a refused start changes nothing'
  )
  t.same(snapshot(directory), refused, 'nothing was changed')

  t.match(await daybook(['recover', '--db', directory, '--accept-loss']), { code: 0, stdout: /can be started\.\n$/ })
  const kept = onlyKept(directory)
  t.ok(readdirSync(join(kept, 'evidence')).includes('witness'), 'the evidence is kept')
  t.match(JSON.parse(readFileSync(join(kept, 'report.json'), 'utf8')), { acknowledged: 99 })
  const { store } = await opened(t, directory)
  const { head } = store.log
  t.ok(head < 99)
  t.same(store.log.ancestors, [{ log: id, upTo: head }])
  await appendTo(store, 5)
  await store.close()
  t.same((await checkDirectory(directory)).kinds, [])
  t.match(await daybook(['recover', '--db', directory]), { code: 0, stdout: /nothing to recover/ })
  t.match(
    await daybook(['recover', '--db', directory, '--accept-loss']),
    { code: 0 },
    'a second --accept-loss does nothing'
  )
  t.same((await opened(t, directory)).store.log.ancestors, [{ log: id, upTo: head }])
})

t.test('after recover, a gap stays unreadable, and the directory starts and serves all other events', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 500)
  flipBit(largest(join(directory, 'log'), '.log'), 0.5)
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged' })
  const plan = await recovered(t, directory)
  const [first, last] = plan.gaps.ranges[0] as readonly [number, number]
  t.ok(first > 0 && last < 499, `${plan.gaps} are missing`)
  const { store } = await opened(t, directory)
  t.match(store.log.ancestors, [{ upTo: first - 1 }])
  t.equal(store.log.head, 499)
  await t.rejects(store.log.read(first), { code: 'log-damaged' })
  for (const stream of ['s-0', 's-1', 's-2']) {
    const source = await store.sources.of(stream)
    const positions = await store.postings.positions('s', source.list as never, 0, 1000)
    for (const [number, position] of positions.entries()) {
      if (plan.gaps.has(position)) continue
      t.match(await store.log.read(position), { stream, number }, `event ${number} of ${stream} is at its position`)
    }
  }
  await appendTo(store, 6)
  await store.close()
  t.match((await checkDirectory(directory)).kinds, [{ code: 'record-missing', positions: String(plan.gaps) }])
  const again = await new Store({ directory, rebuildIndex: true }).open()
  t.equal(again.log.head, 505, 'the index is rebuilt across the gap')
  await again.close()
  t.equal(isNeeded(await planned(directory, true)), false, 'an accepted loss is not reported again')
  rmSync(join(directory, 'witness'))
  t.equal((await opened(t, directory)).store.log.head, 505, 'an accepted loss is tolerated without the witness')
})

t.test('recover repairs a log that LevelDB cannot open, from its tables', async (t) => {
  const spoil: Record<string, (log: string) => unknown> = {
    'no CURRENT': (log) => rmSync(join(log, 'CURRENT')),
    'an empty CURRENT': (log) => truncateSync(join(log, 'CURRENT'), 0),
    'a damaged manifest': (log) => writeFileSync(join(log, manifestOf(log)), 'nonsense'),
    'no manifest': (log) => rmSync(join(log, manifestOf(log)))
  }
  const good = await filled(t, 300)
  for (const [how, damage] of Object.entries(spoil)) {
    const directory = `${good}-${how.replace(/\W/g, '-')}`
    cpSync(good, directory, { recursive: true })
    damage(join(directory, 'log'))
    const message = /Nothing was changed.*daybook recover --db/
    await t.rejects(new Store({ directory }).open(), { code: 'directory-unusable', message }, how)
    const plan = await recovered(t, directory)
    t.match(plan, { head: 299, unopened: String }, `${how}: all events are there`)
    t.equal(plan.gaps.size, 0)
    const { store } = await opened(t, directory)
    t.equal(store.log.head, 299)
    await store.close()
    t.same((await checkDirectory(directory)).kinds, [], how)
  }
})

t.test('recover of a log with a missing table loses the events of that table and no others', async (t) => {
  const directory = await filled(t, 300)
  const { store } = await opened(t, directory)
  await appendTo(store, 50)
  await store.close()
  await (await new Store({ directory }).open()).close()
  rmSync(largest(join(directory, 'log'), '.ldb'))
  await t.rejects(new Store({ directory }).open(), { code: 'directory-unusable' })
  const plan = await recovered(t, directory)
  t.match(plan, { head: 349 })
  t.equal(String(plan.gaps), '0–299')
  const again = await opened(t, directory)
  t.equal(again.store.log.head, 349)
  t.same((await again.store.log.read(300)).position, 300)
  await t.rejects(again.store.log.read(299), { code: 'log-damaged' })
})

t.test('recover gives a log with an unreadable identity a new one without ancestors', async (t) => {
  const directory = await filled(t, 100)
  const level = await Level.open(join(directory, 'log'), LEVEL)
  const batch = level.batch()
  batch.put(LOG_META_KEY, Buffer.from('nonsense'))
  await level.writeSynced(batch)
  await level.close()
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message: /daybook recover/ })
  const plan = await recovered(t, directory)
  t.match(plan, { head: 99, identityLost: String })
  const { store } = await opened(t, directory)
  t.match(store.log, { head: 99, ancestors: [] })
  await store.close()
  t.same((await checkDirectory(directory)).kinds, [])
})

t.test('a log that has lost every event starts empty after recover', async (t) => {
  const directory = await crashedDirectory(t.testdir({}), 10)
  truncateSync(largest(join(directory, 'log'), '.log'), 0)
  await t.rejects(new Store({ directory }).open(), { code: 'log-damaged' })
  t.match(await recovered(t, directory), { head: -1, acknowledged: 9 })
  t.equal((await opened(t, directory)).store.log.head, -1)
})

t.test('a recover that was killed can be run again, and starts are refused until then', async (t) => {
  const good = await crashedDirectory(t.testdir({}), 100)
  cutWriteAheadLog(good)
  const steps: (() => () => void)[] = [() => fail(Level, 'open', 1), () => fail(Level.prototype, 'writeSynced', 1)]
  for (const [step, breakIt] of steps.entries()) {
    const directory = `${good}-${step}`
    cpSync(good, directory, { recursive: true })
    const plan = await planned(directory)
    const mend = breakIt()
    await t.rejects(accepted(directory, plan), /killed/, `step ${step}`)
    mend()
    await t.rejects(new Store({ directory }).open(), { code: 'log-damaged', message: /recover.*did not finish/ })
    t.match(await recovered(t, directory), { acknowledged: 99 }, 'the second plan still shows the loss')
    const { store } = await opened(t, directory)
    await appendTo(store, 3)
    await store.close()
    t.same((await checkDirectory(directory)).kinds, [])
  }
})

t.test('recover reports wrong arguments, a directory without a log and a directory in use', async (t) => {
  const directory = await filled(t, 3)
  const empty = join(t.testdirName, 'nothing')
  mkdirSync(empty)
  t.match(await daybook(['recover', '--db', empty]), { code: 1, stderr: /^daybook: .* holds no Daybook log; .*\n$/ })
  t.match(await daybook(['recover', directory]), { code: 2, stderr: /unexpected argument/ })
  t.match(await daybook(['recover', '--yes']), { code: 2, stderr: /--yes.*--help/ })
  const { child } = await serve(['--db', directory, '--port', '0'])
  for (const command of ['recover', 'verify']) {
    t.match(await daybook([command, '--db', directory]), { code: 1, stdout: '', stderr: /held by another process/ })
  }
  child.kill('SIGTERM')
  t.same(await once(child, 'exit'), [0, null], 'the server is not affected')
  t.notOk(readdirSync(directory).some((name) => name.startsWith('inspection-')))
})

function planned(directory: string, thorough = false): Promise<RecoveryPlan> {
  return planRecovery(directory, { thorough, clock: systemClock, onProgress: () => {} })
}

function accepted(directory: string, { unopened, identityLost, gaps }: RecoveryPlan) {
  const loss = { repair: unopened !== undefined, identityLost: identityLost !== undefined, gaps, report: '{}' }
  return acceptLoss(directory, Date.now(), loss)
}

/** Makes a plan and accepts its losses. @returns the plan */
async function recovered(t: Test, directory: string): Promise<RecoveryPlan> {
  const before = snapshot(directory)
  const plan = await planned(directory)
  t.same(snapshot(directory), before, 'a plan changes nothing')
  t.ok(isNeeded(plan))
  await accepted(directory, plan)
  return plan
}

/** Makes the `at`-th call of a method fail. @returns a function that restores the method */
function fail(owner: object, method: string, at: number): () => void {
  const methods = owner as Record<string, (...values: unknown[]) => unknown>
  const real = methods[method] as (...values: unknown[]) => unknown
  let calls = 0
  methods[method] = function (this: unknown, ...values: unknown[]) {
    return ++calls === at ? Promise.reject(new Error('killed')) : real.apply(this, values)
  }
  return () => {
    methods[method] = real
  }
}

function cutWriteAheadLog(directory: string): void {
  const wal = largest(join(directory, 'log'), '.log')
  truncateSync(wal, statSync(wal).size - 700)
}

async function identityOf(t: Test, directory: string): Promise<string> {
  const copy = `${directory}-copy`
  cpSync(directory, copy, { recursive: true })
  const { store } = await opened(t, copy)
  return store.log.id
}

async function opened(t: Test, directory: string): Promise<{ store: Store }> {
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  return { store }
}

async function appendTo(store: Store, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, i) => encodeEvent(`s-${i % 3}`, { data: { i } }))
  await store.writer.append({ events, conditions: [], kind: 'append' })
}

/** Returns a closed directory with its records in a table. */
async function filled(t: Test, count: number): Promise<string> {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  await appendTo(store, count)
  await store.close()
  await (await new Store({ directory }).open()).close()
  return directory
}

function onlyKept(directory: string): string {
  const [name, ...others] = readdirSync(directory).filter((one) => one.startsWith('before-recovery-'))
  if (name === undefined || others.length > 0) throw new Error(`kept: ${[name, ...others]}`)
  return join(directory, name)
}

function manifestOf(directory: string): string {
  return readdirSync(directory).find((name) => name.startsWith('MANIFEST')) as string
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

t.test('recover inspects and recovers a log with a damaged table, without a crash of LevelDB', async (t) => {
  const directory = t.testdir({})
  const random = seeded(t)
  await storeWithTables({ directory }, { openings: 2, events: 60, bytes: 2000 }, random)
  const [table = ''] = tablesOf(join(directory, 'log'))
  // Not at its end, where the index and the footer of the table are.
  zeroPage(table, random.int(1, Math.max(1, pagesOf(table) - 3)))
  rmSync(join(directory, 'index'), { recursive: true })
  const result = await daybook(['recover', '--db', directory])
  t.equal(result.code, 1, result.stderr)
  t.match(result.stdout, /cannot be read: positions? \d+/)
  t.match(await daybook(['recover', '--db', directory, '--accept-loss']), { code: 0 })
  const { store } = await opened(t, directory)
  t.ok(store.log.unreadable.size > 0 && store.log.unreadable.size < 60, `${store.log.unreadable.size} events are lost`)
  let read = 0
  for (let position = 0; position <= store.log.head; position++) {
    if (store.log.unreadable.has(position)) await t.rejects(store.log.read(position), { code: 'log-damaged' })
    else if ((await store.log.read(position)).position === position) read++
  }
  t.equal(read, store.log.head + 1 - store.log.unreadable.size, 'all other events can be read')
})
