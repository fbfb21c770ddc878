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
const KILL_ON_ACKNOWLEDGEMENT = compiledScript('test/crash/kill-on-acknowledgement.ts')

/** Kills the appender after `count` acknowledged appends. @returns all acknowledged events */
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
      break // the kill truncated the line, so this append does not count as acknowledged
    }
    if (++lines === count) child.kill('SIGKILL')
  }
  await ended // the lock on the directory is free only after that
  return acknowledged
}

t.test('events acknowledged before a SIGKILL are in the log, at their positions, byte for byte', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const all: Acknowledged[] = []
  let round = 0
  for (const count of [1, 3, 60, 2, 4, 7, 15, 250, 1500].slice(0, scaled(9, 3))) {
    all.push(...(await killAfter(directory, ++round, count)))
    const store = await new Store({ directory }).open()
    t.ok(store.log.head + 1 >= all.length, `killed at append ${count}: the head covers all acknowledged events`)
    let wrong = 0
    for (let at = 0; at < all.length; at += 500) {
      const part = all.slice(at, at + 500)
      const records = await store.log.readMany(part.map(({ position }) => position))
      for (const [i, record] of records.entries()) {
        const expected = part[i] as Acknowledged
        const same =
          record.stream === expected.stream &&
          record.number === expected.number &&
          record.created === expected.created &&
          record.bytes.toString('base64') === expected.bytes
        if (!same) wrong++
      }
    }
    t.equal(wrong, 0, `killed at append ${count}: all ${all.length} acknowledged events are unchanged`)
    for (const { stream, number, position } of all.slice(-200)) {
      const read = await store.reader.event(await store.sources.of(stream), number)
      if (read.position !== position) t.fail(`"${stream}" ${number} is at ${read.position}, not at ${position}`)
    }
    await store.close()
    const { disagreements } = await checkDirectory(directory)
    t.same(disagreements, [], `killed at append ${count}: log and index agree`)
  }
  t.equal(new Set(all.map(({ position }) => position)).size, all.length, 'no position was assigned twice')
})

t.test('events are in the log when they are acknowledged, even if the process dies at once', async (t) => {
  const directory = join(t.testdir({}), 'db')
  let head = -1
  for (const count of [1, 2, 3, 1]) {
    const child = spawn(process.execPath, [KILL_ON_ACKNOWLEDGEMENT, directory, String(count)], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    const [, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
      child.on('close', (code, name) => resolve([code, name]))
    )
    t.equal(signal, 'SIGKILL', 'the process killed itself after the last acknowledgement')
    const positions = output.trim().split('\n').map(Number)
    t.equal(positions.length, count)
    const store = await new Store({ directory }).open().catch((error: Error) => error)
    if (store instanceof Error) return t.fail(`after acknowledgement ${count}: ${store.message}`)
    t.ok(
      store.log.head >= (positions.at(-1) as number),
      `after acknowledgement ${count}: all acknowledged events are in the log`
    )
    t.ok(store.log.head > head)
    head = store.log.head
    await store.close()
  }
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})
