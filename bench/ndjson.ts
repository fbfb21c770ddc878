/** NDJSON of a whole log over HTTP, against LevelDB's own iterator over the same records. */
import { join } from 'node:path'
import { drainLog } from './support/http.js'
import { closeBare, iterate, openBare } from './support/leveldb.js'
import { removeFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import type { Server } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { rateOf, repeat } from './support/usage.js'
import { type Client, startWork, type Work } from './support/work.js'

const STORE = { events: 200_000, streams: 1000 }

export function ndjsonWork(): Work {
  return {
    what: `NDJSON of ${count(STORE.events)} events`,
    unit: 'events/s',
    store: STORE,
    client: (server) => drains(server, STORE.events)
  }
}

export async function benchNdjson(report: Report, scale: Scale): Promise<void> {
  const work = ndjsonWork()
  const daybook = await startWork(work, { warmUp: 0 })
  const directory = await copiedStore(STORE)
  const db = await openBare(join(directory, 'log'))
  const limit = (seconds: number) => rateOf(process.pid, () => repeat(seconds, () => iterate(db)))
  await daybook.load(2)
  await limit(2)
  const rates = await inTurn(scale, { ours: () => daybook.load(scale.seconds), limit: () => limit(scale.seconds) })
  await daybook.stop()
  await closeBare(db)
  removeFolder(directory)
  report.ratio('ndjson', {
    ...work,
    rates: rates.ours,
    limit: { name: 'bare leveldown iterator', rates: rates.limit },
    wanted: 0.4
  })
  report.note('ndjson', 'the first transfer after a start', `${count(daybook.first.rate)} events/s`)
}

/** A client that repeatedly reads a whole log, one transfer at a time. */
export function drains({ url, pid }: Server, events: number, headers: Record<string, string> = {}): Client {
  return { load: (seconds) => rateOf(pid, () => repeat(seconds, () => drainLog(url, events, headers))) }
}
