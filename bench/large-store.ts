/** Durable batches on a large store while LevelDB compacts, against the same on an empty one. */
import { join } from 'node:path'
import { BATCHES } from './batches.js'
import { batchBodies } from './support/events.js'
import { tableBytes } from './support/leveldb.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import type { Rate } from './support/usage.js'
import { directoryOf, sends, startWork, type Work } from './support/work.js'
import { writeScript } from './support/wrk.js'

interface Result extends Rate {
  readonly worstCommit: number
  /** MB that LevelDB compacted during the load, in both databases. */
  readonly compacted: number
}

export function largeWork({ large }: Scale): Work {
  return {
    what: `batches of 500 on ${count(large.events)} events in ${count(large.streams)} streams`,
    unit: 'events/s',
    store: large,
    client: sends(writeScript({ streams: large.streams, bodies: batchBodies(8, BATCHES.events) }), BATCHES)
  }
}

export async function benchLargeStore(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const work = largeWork(scale)
  const directory = await directoryOf(work)
  const results = await inTurn(scale, {
    large: () => measure(work, directory, seconds),
    empty: async () => {
      const folder = temporaryFolder()
      const result = await measure(work, folder, seconds)
      removeFolder(folder)
      return result
    }
  })
  removeFolder(directory)
  const limit = { name: 'on an empty store', rates: results.empty }
  report.ratio('large', { ...work, rates: results.large, limit, wanted: 0.7 })
  const worst = (of: readonly Result[]) => Math.max(...of.map(({ worstCommit }) => worstCommit))
  report.note('large', 'worst commit', bound(worst(results.large)), `${bound(worst(results.empty))} on an empty store`)
  const compacted = results.large.reduce((sum, one) => sum + one.compacted, 0)
  report.note('large', 'compacted by LevelDB meanwhile', `${count(compacted)} MB`)
}

/** A server of its own each time, so that large and empty stores are equally warm. */
async function measure(work: Work, directory: string, seconds: number): Promise<Result> {
  const daybook = await startWork(work, { directory })
  const rate = await daybook.load(seconds)
  const worst = await worstCommit(daybook.server.url)
  await daybook.stop()
  const tables = ['log', 'index'].map((name) => tableBytes(join(directory, name)).compacted)
  return { ...rate, worstCommit: worst, compacted: tables.reduce((sum, bytes) => sum + bytes, 0) / 1e6 }
}

/** Milliseconds: the upper bound of the highest bucket that holds a commit. */
async function worstCommit(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const buckets = [...metrics.matchAll(/^daybook_commit_seconds_bucket\{le="(.+?)"\} (\d+)$/gm)]
  const all = buckets.at(-1)?.[2]
  const highest = buckets.find(([, , within]) => within === all)?.[1]
  return highest === '+Inf' ? Number.POSITIVE_INFINITY : Number(highest) * 1000
}

function bound(milliseconds: number): string {
  return Number.isFinite(milliseconds) ? `at most ${milliseconds} ms` : 'more than 2,500 ms'
}
