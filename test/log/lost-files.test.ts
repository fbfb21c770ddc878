/** Missing, truncated and foreign files, as a bad copy leaves them. A start never makes the log shorter. */
import { spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { buildApp } from '../../routes/index.js'
import { Witness } from '../../src/log/recovery/witness.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { crashedDirectory, flipBit, largest } from '../helpers/crash.js'
import { encodeEvent } from '../helpers/events.js'
import { compiledScript } from '../helpers/project.js'

const EVENTS = 300
const REFUSED = { code: /^(log-damaged|directory-unusable|storage-failed)$/ }

t.test('a log without one of its files is refused, and opens again when the file is restored', async (t) => {
  const lost: Record<string, (log: string) => string> = {
    'its CURRENT': (log) => join(log, 'CURRENT'),
    'its manifest': (log) => only(log, /^MANIFEST/),
    'a table': (log) => largest(log, '.ldb')
  }
  for (const [what, find] of Object.entries(lost)) {
    const directory = await closed(t, what)
    const file = find(join(directory, 'log'))
    renameSync(file, `${directory}.aside`)
    t.match(await attempt(directory), REFUSED, `without ${what}`)
    await t.rejects(
      new Store({ directory }).open(),
      { code: /^(log-damaged|directory-unusable|storage-failed)$/ },
      'the next start is refused too'
    )
    // verify may fail or report the damage. It must not report that there is none.
    const report = await checkDirectory(directory).catch(() => undefined)
    t.not(report?.disagreements.length, 0, `verify without ${what}`)
    renameSync(`${directory}.aside`, file)
    await isWhole(t, directory, `${what} restored`)
  }
})

t.test('a log with a damaged file is refused, and opens again when the file is restored', async (t) => {
  const spoil: Record<string, (log: string) => string> = {
    'an empty CURRENT': (log) => emptied(join(log, 'CURRENT')),
    'a CURRENT that names nothing': (log) => overwritten(join(log, 'CURRENT'), 'MANIFEST-999999\n'),
    'a flipped bit in the manifest': (log) => flipped(only(log, /^MANIFEST/)),
    'an empty table': (log) => emptied(largest(log, '.ldb'))
  }
  for (const [what, damage] of Object.entries(spoil)) {
    const directory = await closed(t, what)
    const copy = `${directory}-good`
    cpSync(directory, copy, { recursive: true })
    const file = damage(join(directory, 'log'))
    t.match(await attempt(directory), REFUSED, what)
    cpSync(file.replace(directory, copy), file)
    await isWhole(t, directory, `${what}, restored`)
  }
})

t.test('a damaged log without a witness is refused at every start, not only at the first', async (t) => {
  for (const [where, at] of [
    ['the middle', 0.5],
    ['the last record', -10]
  ] as const) {
    const directory = await crashedDirectory(folder(t, where), 100)
    const wal = largest(join(directory, 'log'), '.log')
    flipBit(wal, at > 0 ? at : statSync(wal).size + at)
    rmSync(join(directory, 'witness'))
    for (const start of ['first', 'second', 'third']) {
      await t.rejects(
        new Store({ directory }).open(),
        { code: 'log-damaged' },
        `damage in ${where}: the ${start} start`
      )
    }
  }
})

t.test('a witness behind the log, as after a power cut, does not count as damage', async (t) => {
  const directory = await crashedDirectory(folder(t, 'db'), 100)
  const witness = Witness.open(join(directory, 'witness'))
  witness.write({ head: 10, verifiedTo: 5 })
  witness.close()
  const store = await new Store({ directory }).open()
  t.equal(store.log.head, 99)
  await store.close()
  t.same((await checkDirectory(directory)).disagreements, [])
})

t.test('any damage of the index leaves all responses unchanged', async (t) => {
  const other = await closed(t, 'other')
  const spoil: Record<string, (index: string) => unknown> = {
    'a bit flipped in its write-ahead log': (index) => flipBit(largest(index, '.log'), 0.5),
    'its write-ahead log cut': (index) =>
      truncateSync(largest(index, '.log'), statSync(largest(index, '.log')).size >> 1),
    'its write-ahead log emptied': (index) => truncateSync(largest(index, '.log'), 0),
    'a bit flipped in its manifest': (index) => flipBit(only(index, /^MANIFEST/), 0.3),
    'its manifest gone': (index) => rmSync(only(index, /^MANIFEST/)),
    'a CURRENT of nonsense': (index) => writeFileSync(join(index, 'CURRENT'), 'nonsense'),
    'its place taken by a file': (index) => {
      rmSync(index, { recursive: true })
      writeFileSync(index, 'no directory')
    },
    'the index of another store': (index) => {
      rmSync(index, { recursive: true })
      cpSync(join(other, 'index'), index, { recursive: true })
    },
    'an older copy of itself': (index) => {
      rmSync(index, { recursive: true })
      cpSync(`${index}-older`, index, { recursive: true })
    }
  }
  const good = await crashedDirectory(folder(t, 'good'), EVENTS)
  cpSync(join(good, 'index'), join(good, 'index-older'), { recursive: true })
  // The copy is made after an index flush and before the close, so its index has a write-ahead log.
  const store = await new Store({ directory: good }).open()
  for (let i = 0; i < EVENTS; i++) await store.writer.append(single(`s-${i % 7}`, i))
  await store.postings.flush()
  const crashed = `${good}-again`
  cpSync(good, crashed, { recursive: true })
  await store.close()
  const truth = await everythingRead(crashed, t)

  for (const [how, damage] of Object.entries(spoil)) {
    const directory = folder(t, how)
    cpSync(crashed, directory, { recursive: true })
    damage(join(directory, 'index'))
    t.same(await everythingRead(directory, t), truth, `${how}: all responses are as before`)
    t.same((await checkDirectory(directory)).disagreements, [], `${how}: verify finds nothing`)
  }
})

t.test('only one process can open a directory, and another can when it is killed', async (t) => {
  const directory = folder(t, 'db')
  const appender = compiledScript('test/crash/appender.ts')
  const child = spawn(process.execPath, [appender, directory, '1'], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = new Promise((resolve) => child.on('close', resolve))
  for await (const _ of createInterface({ input: child.stdout })) break // it has the directory open
  await t.rejects(new Store({ directory }).open(), { code: 'directory-in-use' }, 'a second process cannot open it')
  await t.rejects(checkDirectory(directory), { code: 'directory-in-use' }, 'a second process cannot verify it')
  await t.rejects(
    new Store({ directory, rebuildIndex: true }).open(),
    { code: 'directory-in-use' },
    'a second process cannot rebuild its index'
  )
  t.ok(readdirSync(join(directory, 'index')).includes('CURRENT'), 'its index is unchanged')
  child.kill('SIGKILL')
  await ended
  const store = await new Store({ directory }).open()
  t.ok(store.log.head >= 0, 'the directory opens after the kill')
  await store.close()
})

/** Returns a path for a directory, unique for each name within a test. */
function folder(t: Test, name: string): string {
  const parent = existsSync(t.testdirName) ? t.testdirName : t.testdir({})
  return join(parent, name.replace(/\W/g, '-'))
}

/** Returns a closed directory. It was opened twice, so that its records are in a table. */
async function closed(t: Test, name: string): Promise<string> {
  const directory = folder(t, name)
  const store = await new Store({ directory }).open()
  for (let i = 0; i < EVENTS; i += 100) {
    const events = Array.from({ length: 100 }, (_, j) => encodeEvent(`s-${(i + j) % 7}`, { data: { i: i + j } }))
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  await store.close()
  await (await new Store({ directory }).open()).close()
  return directory
}

function single(stream: string, i: number) {
  return { events: [encodeEvent(stream, { data: { i } })], conditions: [], kind: 'append' } as const
}

/** Opens and closes a directory. @returns the head of its log, or the error of the start */
async function attempt(directory: string): Promise<{ head: number } | { code?: string; message: string }> {
  try {
    const store = await new Store({ directory }).open()
    await store.close()
    return { head: store.log.head }
  } catch (error) {
    return error as Error
  }
}

async function isWhole(t: Test, directory: string, what: string): Promise<void> {
  t.match(await attempt(directory), { head: EVENTS - 1 }, `${what}: all events are there`)
  t.same((await checkDirectory(directory)).disagreements, [], `${what}: verify finds nothing`)
}

/** Returns the responses for the log, each stream and the listings. */
async function everythingRead(directory: string, t: Test): Promise<Record<string, string>> {
  const store = await new Store({ directory }).open()
  const app = await buildApp(store, { logLevel: 'silent', insecure: true })
  const urls = ['/events?format=ndjson', '/streams', '/categories', '/types', '/events?category=s&type=T&limit=4096']
  for (let i = 0; i < 7; i++) urls.push(`/streams/s-${i}?format=ndjson`, `/streams/s-${i}?order=desc&limit=5`)
  const read: Record<string, string> = {}
  for (const url of urls) {
    const answer = await app.inject(url)
    t.equal(answer.statusCode, 200, url)
    read[url] = answer.body
  }
  await app.close()
  return read
}

function only(folder: string, name: RegExp): string {
  const found = readdirSync(folder).filter((file) => name.test(file))
  return join(folder, found.at(-1) as string)
}

function emptied(file: string): string {
  truncateSync(file, 0)
  return file
}

function overwritten(file: string, text: string): string {
  writeFileSync(file, text)
  return file
}

function flipped(file: string): string {
  flipBit(file, Math.floor(readFileSync(file).length / 2))
  return file
}
