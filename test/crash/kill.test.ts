import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { compiledScript } from '../helpers/project.js'
import { scaled } from '../helpers/scale.js'

interface Acknowledged {
  stream: string
  number: number
  position: number
  created: number
  bytes: string
}

const APPENDER = compiledScript('test/crash/appender.ts')
const LAST_WORDS = compiledScript('test/crash/last-words.ts')

/** Kills the appender when `count` appends were acknowledged. @returns all that it acknowledged */
async function killAfter(directory: string, round: number, count: number): Promise<Acknowledged[]> {
  const child = spawn(process.execPath, [APPENDER, directory, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const ended = new Promise((resolve) => child.on('close', resolve))
  const acknowledged: Acknowledged[] = []
  let lines = 0
  for await (const line of createInterface({ input: child.stdout })) {
    try {
      acknowledged.push(...(JSON.parse(line) as { events: Acknowledged[] }).events)
    } catch {
      break // the kill cut the line: this one was not said
    }
    if (++lines === count) child.kill('SIGKILL')
  }
  await ended // only then is its lock on the directory free
  return acknowledged
}

t.test('what was acknowledged before SIGKILL is there, at its place, byte for byte', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const all: Acknowledged[] = []
  let round = 0
  for (const count of [1, 3, 60, 2, 4, 7, 15, 250, 1500].slice(0, scaled(9, 3))) {
    all.push(...(await killAfter(directory, ++round, count)))
    const store = await new Store({ directory }).open()
    t.ok(store.log.head + 1 >= all.length, `killed at append ${count}: nothing acknowledged is beyond the head`)
    let wrong = 0
    for (let at = 0; at < all.length; at += 500) {
      const part = all.slice(at, at + 500)
      const records = await store.log.readMany(part.map(({ position }) => position))
      for (const [i, record] of records.entries()) {
        const said = part[i] as Acknowledged
        const same =
          record.stream === said.stream &&
          record.number === said.number &&
          record.created === said.created &&
          record.bytes.toString('base64') === said.bytes
        if (!same) wrong++
      }
    }
    t.equal(wrong, 0, `killed at append ${count}: all ${all.length} acknowledged events are as they were`)
    for (const { stream, number, position } of all.slice(-200)) {
      const read = await store.reader.event(await store.sources.of(stream), number)
      if (read.position !== position) t.fail(`"${stream}" ${number} is at ${read.position}, not at ${position}`)
    }
    await store.close()
    const { disagreements } = await checkDirectory(directory)
    t.same(disagreements, [], `killed at append ${count}: everything agrees`)
  }
  t.equal(new Set(all.map(({ position }) => position)).size, all.length, 'no position was given twice')
})

t.test('what is acknowledged is written by then, not just about to be', async (t) => {
  const directory = join(t.testdir({}), 'db')
  let head = -1
  for (const count of [1, 2, 3, 1]) {
    const child = spawn(process.execPath, [LAST_WORDS, directory, String(count)], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    let said = ''
    child.stdout.on('data', (chunk) => (said += chunk))
    const [, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (code, name) => resolve([code, name]))
    )
    t.equal(signal, 'SIGKILL', 'it died with its last words')
    const positions = said.trim().split('\n').map(Number)
    t.equal(positions.length, count)
    const store = await new Store({ directory }).open().catch((error: Error) => error)
    if (store instanceof Error) return t.fail(`after acknowledgement ${count}: ${store.message}`)
    t.ok(store.log.head >= (positions.at(-1) as number), `after acknowledgement ${count}: all of it is there`)
    t.ok(store.log.head > head)
    head = store.log.head
    await store.close()
  }
  t.same((await checkDirectory(directory)).disagreements, [], 'everything agrees')
})
