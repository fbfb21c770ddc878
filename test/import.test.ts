/** A repeated import writes no event twice, wherever it broke off and wherever its lines come from. */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { ImportInput } from '../src/commands/move/import-input.js'
import { ImportedLines } from '../src/commands/move/import-lines.js'
import { checkDirectory } from '../src/verify/check-directory.js'
import { command, daybook, ends, until } from './helpers/cli.js'
import { seeded } from './helpers/random.js'
import { ReturningServer } from './helpers/returning-server.js'

const TWO = '{"stream":"a","type":"T"}\n{"stream":"a","type":"T"}\n'

t.test(
  'lines without ids are written once each, equal lines included, however often the file is imported',
  async (t) => {
    const folder = t.testdir({ 'two.ndjson': TWO, 'two.ndjson.gz': gzipSync(TWO) })
    const db = join(folder, 'db')
    const run = async (argv: string[], says: RegExp, input?: string | Buffer) => {
      const result = await daybook(['import', ...argv, '--db', db], { input })
      t.match(result, { code: 0, stderr: says }, `${argv.join(' ')}: ${result.stderr}`)
    }
    await run([join(folder, 'two.ndjson')], /^2 events imported \(/)
    await run([join(folder, 'two.ndjson')], /^0 events imported, 2 were there already \(/)
    await run([join(folder, 'two.ndjson.gz')], /^0 events imported, 2 were there/)
    await run(['-'], /^0 events imported, 2 were there/, TWO)
    await run(['-'], /^0 events imported, 2 were there/, gzipSync(TWO))
    await run(['-'], /^0 events imported, 2 were there/, TWO.trimEnd())
    await run(['-'], /^0 events imported, 2 were there/, TWO.replaceAll('\n', '\r\n'))
    await run(['-'], /^1 event imported, 2 were there/, `${TWO}{"stream":"a","type":"T"}`)
    await run(
      ['-', '--batch', '1'],
      /^1 event imported, 3 were there/,
      `${TWO}{"stream":"a","type":"T"}\n\n{"stream":"b","type":"T"}`
    )
    await run(['-'], /^3 events imported \(/, `{"stream":"c","type":"U"}\n${TWO}`)
    await run(['-'], /^2 events imported \(/, `\n${TWO}`)
    await run(['-', '--new-ids'], /^2 events imported \(/, TWO)
    await run(
      ['-', '--new-ids'],
      /^0 events imported, 1 was there/,
      `{"id":"${await idOfFirst(db)}","stream":"a","type":"T"}`
    )
  }
)

t.test('the ids of lines depend on the input only, not on flags or on skipped lines', async (t) => {
  const folder = t.testdir({})
  const lines = [
    '{"stream":"$user-ann","type":"$User","data":{}}',
    '{"stream":"a","type":"T","data":{"at":"2020-01-01T00:00:00Z"}}',
    '{"stream":"b","number":0,"position":9,"created":"2020-01-01T00:00:00Z","record":{"version":1,"kind":"removed","flags":0,"crc":"00000000"}}',
    '{"stream":"a","type":"T","data":{"at":"2020-01-02T00:00:00Z"}}'
  ]
  const ids = async (name: string, argv: string[]) => {
    const result = await daybook(['import', '-', '--db', join(folder, name), ...argv], { input: lines.join('\n') })
    t.match(
      result,
      { code: 0, stderr: /^2 events imported, 1 removed event skipped, 1 event of another server's accounts/ },
      result.stderr
    )
    return (await exported(join(folder, name))).map(({ id }) => id)
  }
  const first = await ids('first', [])
  t.match(first, [/^[0-9a-f]{8}-[0-9a-f]{4}-5/, /^[0-9a-f]{8}-[0-9a-f]{4}-5/])
  t.same(await ids('second', ['--occurred-from', '/data/at', '--batch', '1']), first)
  const other = await daybook(['import', '-', '--db', join(folder, 'first'), '--occurred-from', '/data/at'], {
    input: lines.join('\n')
  })
  t.match(
    other,
    { code: 1, stderr: /Line 2: .*has the same id .*, but other content/ },
    'the same line with another "occurred" is refused'
  )
})

t.test('a file that deletes streams can be imported again after a break at any line', async (t) => {
  const lines = [
    '{"stream":"x-1","type":"A"}',
    '{"stream":"x-1","type":"A"}',
    '{"stream":"$$x-1","type":"$metadata","data":{"$maxCount":1}}',
    '{"stream":"x-1","type":"B"}',
    '{"stream":"$$x-1","type":"$metadata","data":{"$tb":9223372036854775807}}',
    '{"stream":"x-1","type":"Back"}',
    '{"stream":"x-1","type":"$streamDeleted"}',
    '{"stream":"y-1","type":"C"}'
  ]
  const db = join(t.testdir({}), 'db')
  let there = 0
  for (const broken of [1, 3, 6, 7, 8]) {
    const result = await daybook(['import', '-', '--db', db], { input: lines.slice(0, broken).join('\n') })
    t.match(result, { code: 0, stderr: `${broken - there} event` }, `${broken}: ${result.stderr}`)
    there = broken
  }
  const again = await daybook(['import', '-', '--db', db], { input: lines.join('\n') })
  t.match(again, { code: 0, stderr: /^0 events imported, 8 were there/ }, again.stderr)
  const types = (await exported(db)).map(({ type }) => type)
  // The append that revived the stream wrote its metadata again.
  t.same(types, ['A', 'A', '$metadata', 'B', '$metadata', 'Back', '$metadata', '$streamDeleted', 'C'])
  t.same((await checkDirectory(db)).disagreements, [])
})

for (const [what, stop] of [
  ['the server is killed', ({ server }) => server.kill()],
  ['the server stops', ({ server }) => server.kill('SIGTERM')],
  ['the import is killed', ({ child }) => void child.kill('SIGKILL')]
] as [string, (running: { server: ReturningServer; child: ChildProcess }) => unknown][]) {
  t.test(`every line is written once when ${what} in the middle and the import is run again`, async (t) => {
    const random = seeded(t)
    const folder = t.testdir({})
    const server = new ReturningServer(join(folder, 'db'))
    await server.start()
    t.teardown(() => server.kill())
    const lines = Array.from(
      { length: 6000 },
      () => `{"stream":"s-${random.int(0, 9)}","type":"T","data":${random.int(0, 3)}}\n`
    )
    const file = join(folder, 'lines.ndjson')
    writeFileSync(file, lines.join(''))

    const child = command(['import', '-', '--url', server.url, '--batch', '100'])
    const ended = ends(child)
    child.stdin?.on('error', () => {}) // the process is killed while the test writes to it
    child.stdin?.write(lines.slice(0, 3000).join(''))
    await until(async () => (await headOf(server.url)) >= 1000)
    await stop({ server, child })
    child.stdin?.end(lines.slice(3000).join(''))
    const broken = await ended
    if (broken.code !== null) {
      t.match(
        broken,
        { code: 1, stderr: /^[\d,]+ events imported.*\ndaybook: .*\n$/ },
        'the output says how much was imported and why the import ended'
      )
      t.match(broken.stderr, /run the import again/)
    }
    await server.kill()
    await server.start()
    const there = (await headOf(server.url)) + 1
    t.ok(there >= 1000 && there <= 6000, `${there} were there`)
    t.match(await daybook(['import', file, '--url', server.url]), {
      code: 0,
      stderr: new RegExp(
        `^${(6000 - there).toLocaleString('en-US')} events imported, ${there.toLocaleString('en-US')} were there`
      )
    })
    await server.kill()
    const written = await exported(join(folder, 'db'))
    t.same(
      written.map(({ stream, data }) => `{"stream":"${stream}","type":"T","data":${data}}\n`),
      lines
    )
  })
}

t.test('truncated or damaged gzip is reported, and nothing of such a file is imported', async (t) => {
  const random = seeded(t)
  const lines = Array.from(
    { length: 5000 },
    () => `{"stream":"s","type":"T","data":"${random.bytes(20).toString('hex')}"}\n`
  )
  const packed = gzipSync(lines.join(''))
  const flipped = Buffer.from(packed)
  flipped[packed.length >> 1] = (flipped[packed.length >> 1] as number) ^ 0x10
  const folder = t.testdir({ cut: packed.subarray(0, packed.length >> 1), flipped, tail: packed.subarray(0, -3) })
  const db = join(folder, 'db')
  mkdirSync(db)
  for (const name of ['cut', 'flipped', 'tail']) {
    const result = await daybook(['import', join(folder, name), '--db', db])
    t.match(
      result,
      {
        code: 1,
        stderr: /^daybook: \S+ is (damaged gzip|truncated gzip) \([^)]*\); nothing was imported from it.*\n$/
      },
      result.stderr
    )
  }
  const cut = await daybook(['import', '-', '--db', db], { input: packed.subarray(0, packed.length >> 1) })
  t.match(
    cut,
    { code: 1, stderr: /^\d,\d{3} events imported.*\ndaybook: standard input is truncated gzip \(/ },
    cut.stderr
  )
  const whole = await exported(db)
  t.same(
    whole.map(({ data }) => data),
    lines.slice(0, whole.length).map((line) => JSON.parse(line).data),
    'complete lines were imported, in order'
  )
  const again = await daybook(['import', '-', '--db', db], { input: packed })
  t.match(
    again,
    { code: 0, stderr: `${(5000 - whole.length).toLocaleString('en-US')} events imported, ` },
    again.stderr
  )
  const log = await daybook(['import', '-', '--db', join(folder, 'copy'), '--as-log'], {
    input: packed.subarray(0, 3000)
  })
  t.match(log, { code: 1, stderr: /^daybook: (line 1|standard input)/m }, log.stderr)
})

t.test('a file that cannot be read or written gives a one-line error', async (t) => {
  const folder = t.testdir({ 'two.ndjson': TWO })
  const db = join(folder, 'db')
  t.match(await daybook(['import', folder, '--db', db]), {
    code: 1,
    stderr: /^daybook: cannot read \S+: it is a directory; .*\n$/
  })
  t.match(await daybook(['import', '.', '--db', db, '--as-log']), { code: 1, stderr: /directory/ })
  t.match(await daybook(['import', '-', '--db', db, '--as-log', '--new-ids']), { code: 2, stderr: /--new-ids/ })
  t.match(await daybook(['import', join(folder, 'two.ndjson'), '--db', db]), { code: 0 })
  t.match(await daybook(['export', '--db', db, '--output', folder]), {
    code: 1,
    stderr: /^daybook: cannot write \S+: .*\n$/
  })
  t.match(await daybook(['export', '--db', db, '--output', join(folder, 'no', 'file')]), {
    code: 1,
    stderr: /^daybook: cannot write \S+: .*\n$/
  })
})

t.test('an interrupted import prints how far it got, and continues when it is run again', async (t) => {
  const folder = t.testdir({})
  const server = new ReturningServer(join(folder, 'db'))
  await server.start()
  t.teardown(() => server.kill())
  const lines = Array.from({ length: 3000 }, (_, i) => `{"stream":"s","type":"T","data":${i}}\n`)
  const child = command(['import', '-', '--url', server.url, '--batch', '100'])
  const ended = ends(child)
  child.stdin?.on('error', () => {}) // the import stops reading
  child.stdin?.write(lines.slice(0, 2000).join(''))
  child.stdin?.write('{"stream":"s","type":"cut')
  await until(async () => (await headOf(server.url)) >= 1000)
  child.kill('SIGINT')
  const { code, stderr } = await ended
  t.equal(code, 130)
  const [, imported = '', line] =
    /^Stopping .*\n([\d,]+) events imported, up to line ([\d,]+) \(.*\nInterrupted; run the same command again.*\n$/.exec(
      stderr
    ) ?? []
  t.equal(imported, line, stderr)
  const count = Number(imported.replace(',', ''))
  t.equal((await headOf(server.url)) + 1, count, 'the printed number is the number of events in the log')
  const rest = (3000 - count).toLocaleString('en-US')
  const again = await daybook(['import', '-', '--url', server.url], { input: lines.join('') })
  t.match(again, { code: 0, stderr: new RegExp(`^${rest} events imported, ${imported} were there already`) })
  t.match(
    again.stderr,
    /If the existing events .* another file that begins with the same lines, import this file with --new-ids/
  )
})

t.test('the progress of an import is the fraction of decompressed bytes that were acknowledged', async (t) => {
  const text = TWO.repeat(40_000)
  const folder = t.testdir({ 'two.ndjson': text, 'two.ndjson.gz': gzipSync(text) })
  for (const name of ['two.ndjson', 'two.ndjson.gz']) {
    const input = new ImportInput(join(folder, name))
    await input.check()
    t.equal(input.size, text.length, name)
    const lines = new ImportedLines(input.bytes(), { occurredFrom: undefined, newIds: false })
    for await (const _ of lines.chunks()) {
    }
    const half = lines.places.bytesUpTo(40_000) / text.length
    t.ok(half <= 0.5 && half > 0.45, `${name}: ${half} at half`)
    t.ok(lines.places.bytesUpTo(80_000) <= text.length)
  }
})

interface Exported {
  id: string
  stream: string
  type: string
  data?: unknown
}

async function exported(db: string): Promise<Exported[]> {
  const { stdout } = await daybook(['export', '--db', db])
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Exported)
}

async function idOfFirst(db: string): Promise<string> {
  return ((await exported(db))[0] as Exported).id
}

async function headOf(url: string): Promise<number> {
  const answer = await fetch(`${url}/events?limit=1`, { headers: { connection: 'close' } })
  return Number(answer.headers.get('daybook-head'))
}
