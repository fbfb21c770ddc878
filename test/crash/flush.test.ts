/** Kills the process while the index is flushed and while a start rebuilds it. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { Postings } from '../../src/index/posting-lists.js'
import { limits } from '../../src/limits.js'
import { Log } from '../../src/log/log.js'
import { Store } from '../../src/store/store.js'
import { systemClock } from '../../src/time/clock.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { BATCH_EVENTS, CHANGES, CLIENTS, manyStreams } from '../helpers/many-streams.js'
import { compiledScript } from '../helpers/project.js'
import { scaled } from '../helpers/scale.js'

const APPENDER = compiledScript('test/crash/many-streams.ts')

/** The index must be flushed after so many batches. */
const FLUSH_BATCHES = Math.ceil(limits.index_pending_max / CHANGES / BATCH_EVENTS)

interface Line {
  opening?: string
  batch?: number
  positions?: number[]
}

/**
 * Runs the appender and kills it when `when` returns true for a line.
 * @returns the acknowledged batches with positions
 */
async function killWhen(
  directory: string,
  round: number,
  when: (line: Line) => boolean
): Promise<Map<number, number[]>> {
  const child: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    [APPENDER, directory, String(round)],
    { stdio: ['ignore', 'pipe', 'inherit'] }
  )
  const ended = new Promise((resolve) => child.on('close', resolve))
  const acknowledged = new Map<number, number[]>()
  for await (const text of createInterface({ input: child.stdout })) {
    let line: Line
    try {
      line = JSON.parse(text)
    } catch {
      break // the kill truncated the line, so this batch does not count as acknowledged
    }
    if (line.batch !== undefined) acknowledged.set(line.batch, line.positions as number[])
    if (when(line)) child.kill('SIGKILL')
  }
  await ended
  return acknowledged
}

t.test('a kill during an index flush loses no event and no id, and leaves each batch complete or absent', async (t) => {
  const directory = join(t.testdir({}), 'db')
  let events = 0
  let behindMost = 0
  // The flush starts at about this acknowledgement. The kill comes before, at and after it, in a different state each
  // time.
  for (const [i, later] of [-3, -4, 0, 4].slice(0, scaled(4, 2)).entries()) {
    const round = i + 1
    let acknowledgements = 0
    const acknowledged = await killWhen(
      directory,
      round,
      ({ batch }) => batch !== undefined && ++acknowledgements === FLUSH_BATCHES + later
    )
    t.ok(acknowledged.size > 0, `round ${round}: ${acknowledged.size} batches were acknowledged`)
    const behind = await behindOnDisk(directory)
    behindMost = Math.max(behindMost, behind)
    t.comment(`round ${round}: the index was ${behind} events behind the log`)
    const store = await new Store({ directory }).open()
    events += await everyBatchOnce(t, store, round, acknowledged)
    await store.close()
  }
  t.ok(behindMost > BATCH_EVENTS, 'the index was behind the log at least once')
  const report = await checkDirectory(directory)
  t.same(report.disagreements, [], 'log and index agree')
  t.equal(report.events, events, 'the log has only the events that were sent')

  // Without its index, the same directory needs a complete rebuild.
  rmSync(join(directory, 'index'), { recursive: true })
  for (const share of [0.2, 0.7]) {
    let caught = false
    await killWhen(directory, 99, ({ opening, batch }) => {
      const [, done, of] = /catching up with the log: (\d+) of (\d+)/.exec(opening ?? '') ?? []
      caught ||= Number(done) >= share * Number(of)
      return caught || batch !== undefined
    })
    t.comment(caught ? `killed at ${share * 100} % of the rebuild` : 'the rebuild ended before the kill')
  }
  await (await new Store({ directory }).open()).close()
  t.same(
    (await checkDirectory(directory)).disagreements,
    [],
    'a start after killed rebuilds leaves log and index in agreement'
  )
})

/** Returns the number of events in the log that the index on disk does not cover. */
async function behindOnDisk(directory: string): Promise<number> {
  const { log } = await Log.openToInspect({ directory, clock: systemClock, fsync: true, compression: false })
  const postings = await Postings.openToInspect({ directory, compression: false }, log)
  if (!(postings instanceof Postings)) throw new Error('the index cannot be read')
  const behind = log.head - postings.goodTo
  await postings.close()
  await log.close()
  return behind
}

/**
 * Sends every batch again. An acknowledged batch must be at its acknowledged positions. A batch without an
 * acknowledgement must be complete or absent; it is complete afterwards.
 * @returns the number of events of the round
 */
async function everyBatchOnce(
  t: Test,
  store: Store,
  round: number,
  acknowledged: ReadonlyMap<number, number[]>
): Promise<number> {
  const wrong: string[] = []
  let last = 0
  for (let client = 0; client < CLIENTS; client++) {
    let batch = client
    for (; acknowledged.has(batch); batch += CLIENTS) {
      const { replayed, events } = await store.writer.append(manyStreams(round, batch))
      const places = events.map(({ position }) => position)
      if (!replayed || places.join() !== acknowledged.get(batch)?.join())
        wrong.push(`batch ${batch} was appended again or has moved`)
    }
    // The first batch of this client that was not acknowledged.
    await store.writer
      .append(manyStreams(round, batch))
      .catch((error: Error) => wrong.push(`batch ${batch}: ${error.message}`))
    last += Math.floor(batch / CLIENTS) + 1
  }
  t.same(wrong, [], `round ${round}: every batch is in the log once, at its acknowledged positions`)
  return last * BATCH_EVENTS
}
