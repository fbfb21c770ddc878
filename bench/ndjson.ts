/** NDJSON of a whole log over HTTP, against LevelDB's own iterator over the same records. */
import { join } from 'node:path'
import { drainLog } from './support/http.js'
import { closeBare, iterate, openBare } from './support/leveldb.js'
import { removeFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { rateOf } from './support/usage.js'

const STORE = { events: 200_000, streams: 1000 }

export async function benchNdjson(report: Report, scale: Scale): Promise<void> {
  const directories = [await copiedStore(STORE), await copiedStore(STORE)] as const
  const daybook = await startDaybook(directories[0])
  const db = await openBare(join(directories[1], 'log'))
  const ours = () => rateOf(daybook.pid, () => drainLog(daybook.url, STORE.events))
  const limit = () => rateOf(process.pid, () => iterate(db))
  const first = await ours()
  for (let i = 0; i < 2; i++) {
    await ours()
    await limit()
  }
  const rates = await inTurn({ ...scale, rounds: scale.rounds * 2 }, { ours, limit })
  await daybook.stop()
  await closeBare(db)
  for (const directory of directories) removeFolder(directory)
  report.ratio('ndjson', {
    what: `NDJSON of ${count(STORE.events)} events`,
    unit: 'events/s',
    rates: rates.ours,
    limit: { name: 'bare leveldown iterator', rates: rates.limit },
    wanted: 0.4
  })
  report.note('ndjson', 'the first transfer after a start', `${count(first.rate)} events/s`)
}
