/** Damaged tables of LevelDB are detected by their checksums and replaced, so that LevelDB never reads the damage. */
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import t, { type Test } from 'tap'
import { checkTables, describeDamage } from '../../src/log/tables/check-tables.js'
import { DatabaseTables } from '../../src/log/tables/database-tables.js'
import { crc32c, maskCrc } from '../../src/log/tables/format/crc32c.js'
import { readManifest } from '../../src/log/tables/format/manifest.js'
import { TableFile } from '../../src/log/tables/format/table-file.js'
import { firstPositionAfter, lastPositionUpTo } from '../../src/log/tables/positions.js'
import { lostPositions, replaceTable } from '../../src/log/tables/quarantine.js'
import { type Random, seeded } from '../helpers/random.js'
import { pagesOf, positionsFound, storeWithTables, tablesOf, zeroPage } from '../helpers/tables.js'

const random = seeded(t)

t.test('crc32c agrees with the published test values, and continues at any offset', async (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa)
  t.equal(maskCrc(0), 0xa282ead8)
  const bytes = random.bytes(100)
  for (let to = 0; to <= 100; to++) {
    const cut = random.int(0, to)
    t.equal(crc32c(bytes, cut, to, crc32c(bytes, 0, cut)), crc32c(bytes.subarray(0, to)), `0–${cut}–${to}`)
  }
})

for (const compression of [false, true]) {
  const how = compression ? 'compressed' : 'plain'

  t.test(`an undamaged store passes, and its tables are parsed as LevelDB wrote them (${how})`, async (t) => {
    const directory = join(t.testdir({}), 'db')
    await storeWithTables({ directory, compression }, { openings: 3, events: 400, bytes: 300 }, random)
    let last = 0
    const report = await checkTables(directory, (done, of) => {
      if (done < last || done > of) t.fail(`progress ${done} of ${of} after ${last}`)
      last = done
    })
    t.same(report.damages, [])
    t.same(report.unread, [])
    t.equal(last, report.bytes)
    t.equal(report.tables, ['log', 'index', 'checkpoints'].flatMap((name) => tablesOf(join(directory, name))).length)

    const manifest = await readManifest(join(directory, 'log'))
    const known = [...(manifest?.tables.values() ?? [])].sort((a, b) => a.number - b.number)
    t.equal(known.length, tablesOf(join(directory, 'log')).length)
    let next = 0
    for (const { number, bytes, last } of known) {
      const path = join(directory, 'log', `${String(number).padStart(6, '0')}.ldb`)
      t.equal(bytes, statSync(path).size)
      const file = await TableFile.open(path, bytes)
      const layout = await file.layout()
      if (typeof layout === 'string') return t.fail(layout)
      t.equal(layout.filters?.length, 1)
      for (const { separator, handle } of layout.blocks.slice(0, -1)) {
        const positions = (await file.readEntries(handle))
          ?.filter(({ key }) => key.length === 16)
          .map(({ key }) => firstPositionAfter(key) - 1)
        t.equal(positions?.[0], next)
        t.equal(positions?.at(-1), lastPositionUpTo(separator))
        next = firstPositionAfter(separator)
      }
      next = lastPositionUpTo(last) + 1
      await file.close()
    }
  })

  t.test(
    `a zeroed page of a log table: LevelDB finds all records except those reported as lost (${how})`,
    async (t) => {
      const directory = join(t.testdir({}), 'db')
      await storeWithTables({ directory, compression }, { openings: 2, events: 60, bytes: 400 }, random)
      const { found } = await positionsFound(copyOf(directory), 10_000)
      const head = Math.max(...found)
      for (const name of tablesOf(join(directory, 'log')).map((path) => basename(path))) {
        for (let page = 0; page < pagesOf(join(directory, 'log', name)); page++) {
          const log = copyOf(directory)
          zeroPage(join(log, name), page)
          await servesTheRest(t, log, head, `page ${page} of ${name}`)
        }
      }
    }
  )

  t.test(
    `a flipped bit of a log table: LevelDB finds all records except those reported as lost (${how})`,
    async (t) => {
      const directory = join(t.testdir({}), 'db')
      await storeWithTables({ directory, compression }, { openings: 2, events: 60, bytes: 400 }, random)
      const { found } = await positionsFound(copyOf(directory), 10_000)
      const head = Math.max(...found)
      for (let i = 0; i < 20; i++) {
        const log = copyOf(directory)
        const path = random.pick(tablesOf(log))
        const at = random.int(0, statSync(path).size - 1)
        flip(path, at, random)
        await servesTheRest(t, log, head, `byte ${at} of ${basename(path)}`)
      }
    }
  )
}

t.test('a table that cannot be read because of an error of the system does not count as damaged', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, { openings: 1, events: 10, bytes: 300 }, random)
  const [table] = tablesOf(join(directory, 'log'))
  rmSync(table as string)
  mkdirSync(table as string)
  const { damages, unread } = await checkTables(directory)
  t.same(damages, [])
  t.match(unread, [{ file: `log/${basename(table as string)}`, why: /EISDIR/ }])
})

t.test('replacing a damaged table in a view of links leaves the directory unchanged', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await storeWithTables({ directory }, { openings: 2, events: 60, bytes: 300 }, random)
  const view = join(directory, '..', 'view')
  for (const [name, page] of [
    ['log', 1],
    ['index', 0]
  ] as const) {
    zeroPage(tablesOf(join(directory, name))[0] as string, page)
    mkdirSync(join(view, name), { recursive: true })
    for (const file of readdirSync(join(directory, name))) linkSync(join(directory, name, file), join(view, name, file))
  }
  const before = tablesOf(join(directory, 'log')).map((path) => readFileSync(path))
  const report = await checkTables(view, undefined, (database, damaged) => replaceTable(database, damaged, 0))
  t.match(report.damages, [
    { database: 'log', lost: [{}] },
    { database: 'index', lost: [] }
  ])
  t.same((await checkTables(view)).damages, [])
  t.same(
    tablesOf(join(directory, 'log')).map((path) => readFileSync(path)),
    before
  )
  t.same((await checkTables(directory)).damages, report.damages)
  t.same(lostPositions(join(view, 'log')), report.damages[0]?.lost)
  t.same(lostPositions(join(directory, 'log')), [])
})

/** Copies the log of a store to a data directory without other databases. @returns the directory of the log */
function copyOf(directory: string): string {
  const root = join(directory, '..', 'copy')
  rmSync(root, { recursive: true, force: true })
  const log = join(root, 'log')
  cpSync(join(directory, 'log'), log, { recursive: true })
  return log
}

function flip(path: string, at: number, random: Random): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ (1 << random.int(0, 7))
  writeFileSync(path, bytes)
}

async function servesTheRest(t: Test, log: string, head: number, where: string): Promise<void> {
  const root = join(log, '..')
  const { damages } = await checkTables(root)
  const database = await DatabaseTables.list(root, 'log')
  for (const table of database.tables) {
    const damaged = await database.check(table, () => {})
    if (damaged !== undefined) await replaceTable(database, damaged, 0)
  }
  t.same((await checkTables(root)).damages, [], `${where}: the replacement is undamaged`)
  const { found } = await positionsFound(log, head)
  const lost = lostPositions(log)
  for (let position = 0; position <= head; position++) {
    const isLost = lost.some(({ first, last }) => position >= first && position <= last)
    if (found.has(position) === isLost) {
      t.fail(`${where}: position ${position} is ${isLost ? 'reported as lost, but found' : 'lost, but not reported'}`)
    }
  }
  t.comment(where, damages.map(describeDamage))
}
