/** The import of an export with --as-log creates the same log: all records are equal, byte for byte. */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { positionKey, removedRecord, StoredRecord } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Log } from '../../src/log/log.js'
import { systemClock } from '../../src/time/clock.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { listen, openApp } from '../helpers/app.js'
import { daybook } from '../helpers/cli.js'
import { projectFile } from '../helpers/project.js'

const ADMIN = { authorization: `Basic ${Buffer.from('admin:changeit').toString('base64')}` }
const PASSWORD = { env: { DAYBOOK_PASSWORD: 'changeit' } }
const UUID = (n: number) => `5c1f7f3e-8a5b-4a57-9d0b-${String(n).padStart(12, '0')}`
/** Characters for types and names that need escapes, or that are hard to distinguish. */
const ODD = '"\\/%.~ ;@&?#<>\'ä漢😀\u00a0\u2028\ufeff'

t.test('export and import of a log with every kind of event', async (t) => {
  const directory = join(t.testdir({}), 'db')
  await write(t, directory)
  const records = await recordsOf(directory)
  t.ok(records.length > 40)

  await t.test('a log exported from a directory is imported byte for byte', async (t) => {
    const file = join(t.testdir({}), 'whole.ndjson.gz')
    t.match(await daybook(['export', '--db', directory, '--output', file]), { code: 0 })
    await sameLog(t, file, records)
  })

  await t.test('a log exported from a server by an administrator is imported byte for byte', async (t) => {
    const { url } = await listen(t, { directory, insecure: false })
    const file = join(t.testdir({}), 'whole.ndjson')
    const said = await daybook(['export', '--url', url, '--user', 'admin', '--output', file], PASSWORD)
    t.match(said, { code: 0, stderr: new RegExp(`^${records.length} events exported \\([^)]*\\)\\n$`) })
    await sameLog(t, file, records)
  })

  await t.test('an import rejects a line that differs from its record, and names the line', async (t) => {
    const folder = t.testdir({})
    const { stdout } = await daybook(['export', '--db', directory])
    const lines = stdout.trimEnd().split('\n')
    const changes: [string, (line: string) => string][] = [
      ['another checksum', (line) => line.replace(/"crc":"[0-9a-f]{8}"/, '"crc":"00000000"')],
      ['another flag', (line) => line.replace(/"flags":(\d+)/, (_, flags) => `"flags":${Number(flags) ^ 64}`)],
      ['an unknown flag', (line) => line.replace(/"flags":(\d+)/, (_, flags) => `"flags":${Number(flags) + 4096}`)],
      ['another byte of data', (line) => line.replace('1.0', '1.1')],
      ['another id', (line) => line.replace(UUID(1), UUID(2))],
      ['another kind', (line) => line.replace('"kind":"event"', '"kind":"removed"')],
      ['an unknown kind', (line) => line.replace('"kind":"event"', '"kind":"other"')],
      ['an unknown version', (line) => line.replace('"record":{"version":1', '"record":{"version":2')]
    ]
    const at = lines.findIndex((line) => line.includes('"data":{"price":1.0'))
    for (const [i, [what, change]] of changes.entries()) {
      const line = lines[at] as string
      t.not(change(line), line, what)
      writeFileSync(
        join(folder, 'changed.ndjson'),
        [...lines.slice(0, at), change(line), ...lines.slice(at + 1)].join('\n')
      )
      const said = await daybook(['import', join(folder, 'changed.ndjson'), '--db', join(folder, `${i}`), '--as-log'])
      t.match(said, { code: 1, stderr: new RegExp(`line ${at + 1}\\b`, 'i') }, what)
      if (at > 0) t.match(said.stderr, `${at} events imported`, `${what}: the lines before it are imported`)
    }
  })

  await t.test('an import without --as-log keeps scalars and omits removed events', async (t) => {
    const { stdout } = await daybook(['export', '--db', directory])
    const other = join(t.testdir({}), 'other')
    for (const replayed of [false, true]) {
      const said = await daybook(['import', '-', '--db', other], { input: stdout })
      t.match(said, { code: 0, stderr: replayed ? /^0 events imported/ : /^54 events imported/ }, said.stderr)
    }
    const loose = (await recordsOf(other)).filter((record) => record.loose).map((record) => record.idText)
    t.same(
      loose,
      records.filter((record) => record.loose).map((record) => record.idText)
    )
  })
})

t.test('--as-log imports an export without "record", as older versions wrote it', async (t) => {
  const folder = t.testdir({})
  const golden = readFileSync(projectFile('test/fixtures/format-1.ndjson'), 'utf8')
  t.notMatch(golden, '"record"')
  const copy = join(folder, 'copy')
  t.match(await daybook(['import', '-', '--db', copy, '--as-log'], { input: golden }), { code: 0 })
  const { stdout } = await daybook(['export', '--db', copy])
  t.equal(stdout.replaceAll(/,"record":\{[^}]*\}/g, ''), golden)
  t.same((await checkDirectory(copy)).disagreements, [])
})

async function sameLog(t: Test, file: string, records: readonly StoredRecord[]): Promise<void> {
  const copy = `${file}.copy`
  const said = await daybook(['import', file, '--db', copy, '--as-log'])
  t.match(said, { code: 0, stderr: `${records.length} events imported` }, said.stderr)
  t.same((await checkDirectory(copy)).disagreements, [])
  const copied = await recordsOf(copy)
  t.equal(copied.length, records.length)
  for (const [i, record] of records.entries()) {
    if (!copied[i]?.bytes.equals(record.bytes))
      t.fail(`${record.stream} ${record.number} (${record.type.slice(0, 50)})`)
  }
}

/** Writes every kind of record, each through the API that creates it. */
async function write(t: Test, directory: string): Promise<void> {
  const { app, store } = await openApp(t, { directory, insecure: false })
  const post = poster(app)
  await post(
    'cart-1',
    { 'content-type': 'application/json' },
    `{"type":"A","id":"${UUID(1)}","data":{"price":1.0,"big":1e400,"text":"\\u00e9\\ud800\\/"}}`
  )
  await post(
    'cart-1',
    { 'content-type': 'application/json' },
    '[{"type":"B"},{"type":"C","data":null},{"type":"D","data":"","metadata":[1.0, "\\ud83d\\ude00" ,{"a":{}}]}]'
  )
  await post('cart-1', { 'content-type': 'application/json', 'idempotency-key': 'k' }, '{"type":"Keyed","data":5}')
  await post(
    'cart-1',
    { 'content-type': 'application/json' },
    '{"type":"Tagged","tags":["b:2","a","ä \\"\\\\"],"occurred":"2016-12-31t23:59:59.1234567+14:00","metadata":{"$correlationId":"c"}}'
  )
  await post(
    'cart-1',
    { 'content-type': 'application/json' },
    JSON.stringify({ type: ODD, data: { [ODD]: ODD, '': '' } })
  )
  await post(
    'cart-1',
    { 'content-type': 'application/json' },
    ' { "type" : "Spaced" , "data" : { "a" :\n[ 1 ,\t2 ] } , "metadata" : 7 } '
  )
  for (const [type, body] of BODIES) await post('files-1', { 'content-type': type, 'event-type': 'File' }, body)
  for (const name of ['s', '$own', `a${ODD}`, '.a', 'a-', '-', '🙂'.repeat(256), '%2e%2e', 'a b', '$ce', '\ufeff']) {
    await post(name, { 'content-type': 'application/json' }, '{"type":"Named"}')
  }
  await listed(app, 'loose-1', LOOSE)
  const long = `${'漢'.repeat(1365)}x`
  await listed(app, 'long-1', [
    { eventId: UUID(900), eventType: long, data: {} },
    { eventId: UUID(901), eventType: long.slice(0, 86), data: 1 }
  ])
  await listed(app, 'named-so', [
    { eventId: UUID(902), eventType: '$streamDeleted' },
    { eventId: UUID(903), eventType: '$metadata', data: 7 }
  ])
  await listed(app, 'linking', [{ eventId: UUID(904), eventType: '$>', data: '0@cart-1' }])
  for (const type of ['text/xml', 'application/octet-stream']) {
    const headers = {
      'content-type': type,
      'es-eventtype': 'Dialect',
      'es-eventid': UUID(910 + type.length),
      accept: 'application/vnd.eventstore.atom+json'
    }
    await post('files-2', headers, type === 'text/xml' ? '<a>ä</a>' : 'plain')
  }
  const put = async (name: string, document: object) =>
    good(await app.inject({ method: 'PUT', url: `${address(name)}/metadata`, headers: ADMIN, payload: document }))
  const remove = async (name: string, query = '') =>
    good(await app.inject({ method: 'DELETE', url: address(name) + query, headers: ADMIN }))
  await put('cart-1', { maxCount: 2, maxAge: 'P1D', owner: ODD, acl: { read: 'admin' } })
  await remove('long-1')
  await post('long-1', { 'content-type': 'application/json' }, '{"type":"Revived"}')
  await remove('🙂'.repeat(256)) // the name of its metastream is two bytes longer than the limit of names
  await remove('files-1', '?permanent=true')
  await post(
    'gone-1',
    { 'content-type': 'application/json' },
    '[{"type":"Secret","data":1},{"type":"Secret"},{"type":"Kept"}]'
  )
  await store.close()
  await erase(directory, (record) => record.type === 'Secret')
  const again = await openApp(t, { directory, insecure: false, rebuildIndex: true })
  await poster(again.app)('gone-1', { 'content-type': 'application/json' }, '{"type":"Later"}')
  await again.app.close()
  await again.store.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'the written log is valid')
}

const BODIES: [string, string | Buffer][] = [
  ['text/plain', 'two\nlines\r\n\u0000 "ä" \u007f\u0085'],
  ['text/plain', '\ufeffwith a mark'],
  ['text/plain', ''],
  ['text/plain', '\u0001'.repeat(4 * 1024 * 1024)],
  ['text/csv', 'ä;"b"'],
  ['application/xml', '<a/>'],
  ['application/octet-stream', Buffer.from([0, 255, 1, 254, 10, 13])],
  ['application/cloudevents+json', '{"a": 1.0}'],
  ['application/octet-stream', Buffer.alloc(4 * 1024 * 1024, 0xfe)]
]

/** Data as the dialect stores it, with a flag on values that are neither object nor array. */
const LOOSE = [5, 'text', null, true, '{"a":1.0}', ' [1] ', '"{\\"b\\":2}"', [1], {}, '', 'ä\u2028'].map((data, i) => ({
  eventId: UUID(800 + i),
  eventType: 'Loose',
  data,
  metadata: i % 2 === 0 ? data : undefined
}))

function address(name: string): string {
  return `/streams/${encodeURIComponent(name)}`
}

function poster(app: FastifyInstance) {
  return async (name: string, headers: Record<string, string>, payload: string | Buffer) =>
    good(await app.inject({ method: 'POST', url: address(name), headers: { ...ADMIN, ...headers }, payload }))
}

async function listed(app: FastifyInstance, name: string, events: object[]): Promise<void> {
  await poster(app)(name, { 'content-type': 'application/vnd.eventstore.events+json' }, JSON.stringify(events))
}

function good({ statusCode, body }: { statusCode: number; body: string }): void {
  if (statusCode >= 300) throw new Error(`${statusCode} ${body}`)
}

/** Replaces records by removed ones, every second one with the hash of the original. */
async function erase(directory: string, erased: (record: StoredRecord) => boolean): Promise<void> {
  const records = (await recordsOf(directory)).filter(erased)
  const level = await Level.open(join(directory, 'log'), {
    writeBufferSize: 4 << 20,
    cacheSize: 8 << 20,
    compression: true
  })
  const batch = level.batch()
  for (const [i, record] of records.entries()) {
    const hash = i % 2 === 0 ? createHash('sha256').update(record.bytes).digest() : undefined
    const key = positionKey(record.position)
    batch.put(key, removedRecord(key, record, hash))
  }
  await level.writeSynced(batch)
  await level.close()
}

async function recordsOf(directory: string): Promise<StoredRecord[]> {
  const { log } = await Log.openToInspect({ directory, clock: systemClock, fsync: true, compression: true })
  const records: StoredRecord[] = []
  for await (const { record, position } of log.inspect()) {
    if (record === undefined) throw new Error(`the record at ${position} cannot be read`)
    records.push(new StoredRecord(position, Buffer.from(record.bytes)))
  }
  await log.close()
  return records
}
