/** NDJSON of a whole log over HTTP, against LevelDB's own iterator over the same records. */
import { join } from 'node:path'
import { fill } from './support/fill.js'
import { drain } from './support/http.js'
import { iterate, openBare } from './support/leveldb.js'
import { median, type Report } from './support/report.js'
import { startDaybook, temporaryFolder } from './support/servers.js'

const EVENTS = 200_000

export async function benchNdjson(report: Report, { rounds }: { rounds: number }): Promise<void> {
  const directory = temporaryFolder()
  await fill(directory, { events: EVENTS, streams: 1000 })
  const ours: number[] = []
  const limit: number[] = []
  for (let round = 0; round < rounds + 1; round++) {
    const daybook = await startDaybook(directory)
    const warm = round === 0 ? 2 : 1
    for (let i = 0; i < warm; i++) ours.push(EVENTS / (await drain(`${daybook.url}/events?format=ndjson`)).seconds)
    await daybook.stop()
    const db = await openBare(join(directory, 'log'))
    await iterate(db, { limit: 10_000 })
    const started = performance.now()
    const entries = await iterate(db, {})
    limit.push(entries / ((performance.now() - started) / 1000))
    await new Promise((resolve) => db.close(resolve))
  }
  report.rate(
    'NDJSON of 200,000 events',
    median(ours),
    { name: 'bare leveldown iterator', rate: median(limit) },
    'events/s',
    0.4
  )
}
