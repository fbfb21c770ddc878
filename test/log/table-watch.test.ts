/** Tables are checked before a start, and slowly while the store is open. */
import { cpSync, existsSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { NOTHING_CHECKED, readChecked, writeChecked } from '../../src/log/tables/checked-state.js'
import { checkBeforeOpening } from '../../src/log/tables/opening-check.js'
import { tablesAside } from '../../src/log/tables/quarantine.js'
import { TableGuard } from '../../src/log/tables/table-guard.js'
import { TableWatch } from '../../src/log/tables/table-watch.js'
import { Store } from '../../src/store/store.js'
import { encodeEvent } from '../helpers/events.js'
import { seeded } from '../helpers/random.js'
import { storeWithTables, tablesOf, zeroPage } from '../helpers/tables.js'

const random = seeded(t)

t.test('a start checks more tables after a crash or known damage', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, { openings: 3, events: 30, bytes: 200 }, random)
  const log = join(directory, 'log')
  const numbers = tablesOf(log).map((path) => Number.parseInt(basename(path), 10))
  const newest = numbers.at(-2) as number
  const last = numbers.at(-1) as number
  t.equal(readChecked(log).open, false, 'the database is marked as closed')
  for (const path of tablesOf(log)) zeroPage(path, 0)
  const whole = join(directory, '..', 'whole')
  cpSync(directory, whole, { recursive: true })

  const cases = [
    { why: 'after a close: only the newest bytes', state: { open: false, crashes: 3 }, found: [] },
    { why: 'after a crash: the tables written since the opening', state: { open: true, newest }, found: [last] },
    { why: 'after a second crash: all tables', state: { open: true, newest, crashes: 1 }, found: numbers },
    { why: 'after damage was found while it was open: all tables', state: { suspect: true }, found: numbers },
    { why: 'without a saved state: only the newest bytes', state: undefined, found: [] }
  ]
  for (const { why, state, found } of cases) {
    rmSync(directory, { recursive: true })
    cpSync(whole, directory, { recursive: true })
    if (state === undefined) rmSync(join(log, 'CHECKED'))
    else await writeChecked(log, { ...NOTHING_CHECKED, ...state }, true)
    const check = { directory, now: 1, bytesInAnyCase: 0, markIndexDamaged: () => {} }
    const { damages } = await checkBeforeOpening('log', check)
    t.same(
      damages.map(({ file }) => Number.parseInt(basename(file), 10)),
      found,
      why
    )
    t.equal(readChecked(log).open, true, 'the database is marked as open')
    const crashes = !state?.open || found.length === numbers.length ? 0 : 1
    t.equal(readChecked(log).crashes, crashes)
  }
})

t.test('a process that ends without a close leaves its databases marked as open', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const store = await new Store({ directory }).open()
  await append(store, 3)
  const copy = join(directory, '..', 'copy')
  cpSync(directory, copy, { recursive: true })
  await store.close()
  for (const name of ['log', 'index']) {
    t.equal(readChecked(join(copy, name)).open, true, name)
    t.equal(readChecked(join(directory, name)).open, false, name)
  }
})

t.test('a log table damaged while the store is open is replaced, and reads and appends continue', async (t) => {
  const store = await storeOn(t)
  const [table] = tablesOf(join(store.options.directory, 'log'))
  const { head } = store.log
  zeroPage(table as string, 2)
  const says = await watchAgain(store, 'log')
  t.match(says, /^log\/\d+\.ldb is damaged .*positions \d+–\d+ are lost.*daybook verify/)
  const lost = tablesAside(join(store.options.directory, 'log')).flatMap(({ lost }) => lost)
  t.equal(lost.length, 1)
  for (let position = 0; position <= head; position++) {
    const isLost = lost.some(({ first, last }) => position >= first && position <= last)
    const read = store.log.readMany([position])
    if (isLost) await t.rejects(read, { code: 'log-damaged' })
    else await read
  }
  t.equal(store.tables.damaged, 1)
  await append(store, 3)
  t.equal(store.log.head, head + 3)
  t.match(await store.metrics.text(true), /daybook_tables_damaged 1\n/)
  t.match(await store.metrics.text(true), /daybook_tables_checked_timestamp_seconds 1[\d.]{9,}/)
  await store.close()
})

t.test('reads and appends during the replacement of a table succeed', async (t) => {
  const store = await storeOn(t)
  zeroPage(tablesOf(join(store.options.directory, 'log'))[1] as string, 1)
  let isDone = false
  const told = watchAgain(store, 'log').finally(() => {
    isDone = true
  })
  let reads = 0
  while (!isDone) {
    const [read] = await Promise.all([store.log.readMany([0, 1, 2]), append(store, 1)])
    t.equal(read.length, 3)
    reads++
  }
  t.match(await told, /^log\//)
  t.ok(reads > 0)
  await store.close()
})

t.test(
  'an index table damaged while the store is open is reported, and the next start rebuilds the index',
  async (t) => {
    const store = await storeOn(t)
    const { directory } = store.options
    zeroPage(tablesOf(join(directory, 'index'))[0] as string, 0)
    t.match(await watchAgain(store, 'index'), /^index\/.* is damaged .*at the next start; restart the server soon/)
    t.ok(existsSync(join(directory, 'index', 'DAMAGED')))
    t.equal(readChecked(join(directory, 'index')).suspect, true)
    await store.close()
    const next = await new Store({ directory }).open()
    t.match(next.notices, [/^index\/.* is damaged .*rebuilt from the log$/, /rebuilt from the log/])
    await next.close()
  }
)

t.test('a stopped pass continues at the table where it stopped', async (t) => {
  const store = await storeOn(t)
  const numbers = tablesOf(join(store.options.directory, 'log')).map((path) => Number.parseInt(basename(path), 10))
  await store.tables.note('log', { passed: 0, next: numbers[1] as number })
  const watch = new TableWatch({ ...partsOf(store), speed: 1 })
  await watch.close()
  t.equal(store.tables.stateOf('log').next, numbers[1])
  t.equal(store.tables.passed, 0)
  const again = new TableWatch(partsOf(store))
  while (store.tables.passed === 0) await new Promise(setImmediate)
  await again.close()
  t.equal(store.tables.stateOf('log').next, 0)
  await store.close()
})

/** Opens a store with three tables in the log and in the index. */
async function storeOn(t: Test): Promise<Store> {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, { openings: 3, events: 60, bytes: 300 }, random)
  return new Store({ directory }).open()
}

function partsOf({ tables: guard, log, writer, readOnlyMode }: Store) {
  return { guard, log, writer, readOnlyMode, beginMs: 0 }
}

/** Lets a watch check all tables of a database again. @returns its warning about the damage */
async function watchAgain(store: Store, name: 'log' | 'index'): Promise<string> {
  await store.tables.note(name, { passed: 0 })
  const watch = new TableWatch(partsOf(store))
  const told: string[] = []
  watch.tell((warning) => told.push(warning))
  // setImmediate keeps the process alive; the timers of the watch do not.
  while (store.tables.passed === 0) await new Promise(setImmediate)
  await watch.close()
  t.equal(told.length, 1)
  return told[0] ?? ''
}

async function append(store: Store, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await store.writer.append({ events: [encodeEvent('after', { data: i })], conditions: [], kind: 'append' })
  }
}

t.test('a second start on an open directory does not change the saved state of the table checks', async (t) => {
  const directory = t.testdir({})
  const store = await new Store({ directory }).open()
  t.teardown(() => store.close())
  const log = join(directory, 'log')
  while (!readChecked(log).open) await new Promise((resolve) => setImmediate(resolve))
  const before = readChecked(log)
  await t.rejects(new Store({ directory }).open(), { code: 'directory-in-use' })
  t.same(readChecked(log), before)
})

t.test('a store closed while it marks its databases as open ends closed, and they are marked as closed', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const { noteOpen } = TableGuard.prototype
  t.teardown(() => {
    TableGuard.prototype.noteOpen = noteOpen
  })
  const store = new Store({ directory })
  let closing: Promise<void> | undefined
  TableGuard.prototype.noteOpen = async function () {
    closing = store.close()
    await noteOpen.call(this)
  }
  await t.rejects(store.open(), { code: 'stopping' })
  await closing
  t.equal(store.status, 'closed')
  TableGuard.prototype.noteOpen = noteOpen
  await (await new Store({ directory }).open()).close()
  t.equal(readChecked(join(directory, 'log')).open, false)
})
