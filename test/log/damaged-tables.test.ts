/** A store with a damaged table starts, names the lost positions and serves the rest. LevelDB would end the process. */
import { once } from 'node:events'
import { cpSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { isDaybookError } from '../../src/errors.js'
import { Level } from '../../src/log/level.js'
import { tablesAside } from '../../src/log/tables/quarantine.js'
import { Store } from '../../src/store/store.js'
import { daybook, serve } from '../helpers/cli.js'
import { flipBit } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { seeded } from '../helpers/random.js'
import { pagesOf, storeWithTables, tablesOf, zeroPage } from '../helpers/tables.js'

const random = seeded(t)
const GROWTH = { openings: 2, events: 40, bytes: 300 }

for (const compression of [false, true]) {
  const how = compression ? 'compressed' : 'plain'

  t.test(
    `with a zeroed page in a log table, the lost positions are named and all others are served (${how})`,
    async (t) => {
      const directory = join(t.testdir({}), 'db')
      await storeWithTables({ directory, compression }, GROWTH, random)
      for (const { name, page } of pagesIn(join(directory, 'log'))) {
        const copy = copyOf(directory)
        zeroPage(join(copy, 'log', name), page)
        await serves(t, copy, `page ${page} of log/${name}`)
      }
    }
  )

  t.test(`with a zeroed page in an index table, the index is rebuilt (${how})`, async (t) => {
    const directory = join(t.testdir({}), 'db')
    await storeWithTables({ directory, compression }, GROWTH, random)
    for (const { name, page } of pagesIn(join(directory, 'index'))) {
      const copy = copyOf(directory)
      zeroPage(join(copy, 'index', name), page)
      await isRebuilt(t, copy, `page ${page} of index/${name}`)
    }
  })

  t.test(`with a flipped bit in a table, the log names the loss or the index is rebuilt (${how})`, async (t) => {
    const directory = join(t.testdir({}), 'db')
    await storeWithTables({ directory, compression }, GROWTH, random)
    for (let i = 0; i < 8; i++) {
      const copy = copyOf(directory)
      const database = random.pick(['log', 'index'])
      const path = random.pick(tablesOf(join(copy, database)))
      // Not in the footer: it contains padding, which is not checked.
      const at = random.int(0, statSync(path).size - 49)
      flipBit(path, at)
      const where = `byte ${at} of ${database}/${basename(path)}`
      if (database === 'log') await serves(t, copy, where)
      else await isRebuilt(t, copy, where)
    }
  })
}

t.test('a damaged table of the checkpoints is moved to the folder "damaged", and the store opens', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, { openings: 0, events: 0, bytes: 0 }, random)
  for (let opening = 0; opening < 2; opening++) {
    const level = await Level.open(join(directory, 'checkpoints'), {
      writeBufferSize: 1 << 20,
      cacheSize: 1 << 20,
      compression: false
    })
    const batch = level.batch()
    for (let i = 0; i < 100; i++) batch.put(random.bytes(20), random.bytes(200))
    await level.writeSynced(batch)
    await level.close()
  }
  zeroPage(tablesOf(join(directory, 'checkpoints'))[0] as string, 1)
  const store = await new Store({ directory }).open()
  t.match(store.notices, [/^checkpoints\/\d+\.ldb is damaged .*a named consumer whose checkpoint is lost starts again/])
  t.equal(tablesAside(join(directory, 'checkpoints')).length, 1)
  await append(store)
  await store.close()
})

t.test('a server answers 500 log-damaged for lost events, and serves all others', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, GROWTH, random)
  zeroPage(tablesOf(join(directory, 'log'))[1] as string, 1)
  const { child, banner, url } = await serve(['serve', '--db', directory, '--port', '0'])
  t.teardown(() => child.kill())
  t.match(banner, /log\/\d+\.ldb is damaged .*positions \d+–\d+ are lost.*daybook verify --db/)
  const lost = tablesAside(join(directory, 'log')).flatMap(({ lost }) => lost)
  const expected = lost.reduce((sum, { first, last }) => sum + last - first + 1, 0)
  let failed = 0
  for (const i of count(0, GROWTH.openings * GROWTH.events - 1)) {
    const place = `streams/s-${(i % GROWTH.events) % 7}`
    const answer = await fetch(`${url}/${place}/${numberOf(i)}`)
    const body = (await answer.json()) as { code?: string }
    if (answer.status === 500 && body.code === 'log-damaged') failed++
    else t.equal(answer.status, 200, `event ${i}`)
  }
  t.equal(failed, expected)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /daybook_tables_damaged 1\n/)
  const closed = once(child, 'close')
  child.kill('SIGTERM')
  t.same(await closed, [0, null])
  const { code, stdout } = await daybook(['verify', '--db', directory])
  t.equal(code, 1)
  t.match(stdout, /record-missing/)
})

t.test('verify names the damaged tables and the lost positions, and changes nothing', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, GROWTH, random)
  zeroPage(tablesOf(join(directory, 'log'))[1] as string, 1)
  zeroPage(tablesOf(join(directory, 'index'))[0] as string, 0)
  const before = tablesOf(join(directory, 'log')).map((path) => readFileSync(path))
  const { code, stdout } = await daybook(['verify', '--db', directory])
  t.equal(code, 1)
  t.match(stdout, /log\/\d+\.ldb is damaged .*positions \d+–\d+ are lost/)
  t.match(stdout, /index\/\d+\.ldb is damaged/)
  t.notMatch(stdout, /index-wrong|index-damaged/)
  t.same(
    tablesOf(join(directory, 'log')).map((path) => readFileSync(path)),
    before
  )
  t.notOk(existsSync(join(directory, 'log', 'damaged')))
})

/** Returns the number, in its stream, of the i-th event of the store. */
function numberOf(i: number): number {
  const before = Math.floor(i / GROWTH.events)
  const within = i % GROWTH.events
  const perOpening = (stream: number) => Math.ceil((GROWTH.events - stream) / 7)
  return before * perOpening(within % 7) + Math.floor(within / 7)
}

/** Returns pages of a database's tables: the first, the last two and a random one of each table. */
function pagesIn(database: string): { name: string; page: number }[] {
  return tablesOf(database).flatMap((path) => {
    const last = pagesOf(path) - 1
    const pages = new Set([0, random.int(0, last), Math.max(0, last - 1), last])
    return [...pages].map((page) => ({ name: basename(path), page }))
  })
}

function copyOf(directory: string): string {
  const copy = join(directory, '..', 'copy')
  rmSync(copy, { recursive: true, force: true })
  cpSync(directory, copy, { recursive: true })
  return copy
}

/**
 * Opens a store with a damaged log twice, reads every position and appends. The start may be refused only if accounts
 * or permissions are lost.
 */
async function serves(t: Test, directory: string, where: string): Promise<void> {
  let lost: number[] = []
  for (const start of ['first', 'second']) {
    let store: Store
    try {
      store = await new Store({ directory }).open()
    } catch (error) {
      // The first events contain the accounts and permissions.
      const refused = isDaybookError(error) && error.code === 'log-damaged'
      const [aside] = tablesAside(join(directory, 'log'))
      t.ok(refused && (aside?.lost[0]?.first ?? 9) < 9, `${where}: the ${start} start was refused: ${error}`)
      return
    }
    const asides = tablesAside(join(directory, 'log'))
    t.equal(asides.length, 1, where)
    lost = asides.flatMap(({ lost }) => lost).flatMap(({ first, last }) => count(first, last))
    const notices = store.notices.filter((notice) => notice.startsWith('log/'))
    t.equal(notices.length, start === 'first' ? 1 : 0, `${where}: ${notices}`)
    for (const position of count(0, store.log.head)) {
      try {
        await store.log.readMany([position])
        if (lost.includes(position)) t.fail(`${where}: position ${position} is lost and was read`)
      } catch (error) {
        const named = isDaybookError(error) && error.code === 'log-damaged' && lost.includes(position)
        if (!named) t.fail(`${where}: position ${position}: ${error}`)
      }
    }
    const { head } = store.log
    await append(store)
    t.equal(store.log.head, head + 1, `${where}: an append succeeds`)
    await store.close()
  }
}

/** Checks that a store rebuilds its damaged index completely. */
async function isRebuilt(t: Test, directory: string, where: string): Promise<void> {
  const store = await new Store({ directory }).open()
  t.match(store.notices, [/^index\/\d+\.ldb is damaged .*rebuilt from the log$/, /rebuilt from the log/], where)
  t.notOk(existsSync(join(directory, 'index', 'DAMAGED')))
  t.equal(store.postings.appliedTo, store.log.head)
  for (let i = 0; i < 7; i++) {
    const head = await store.postings.head('s', `s-${i}`)
    t.ok((head?.count ?? 0) > 0, `${where}: stream ${i}`)
  }
  await append(store)
  await store.close()
}

function count(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

async function append(store: Store): Promise<void> {
  await store.writer.append({ events: [encodeEvent('after', { data: 1 })], conditions: [], kind: 'append' })
}
