/** Events of one stream to 1,000 subscribers of it, against a bare server that sends everybody the same bytes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SubscriberJobs } from './children/subscribers.js'
import { event } from './support/events.js'
import { appendAll } from './support/http.js'
import { Worker } from './support/jobs.js'
import { firstFrame } from './support/live.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { type Server, startBareLive, startDaybook } from './support/servers.js'
import { rateOf } from './support/usage.js'

const SUBSCRIBERS = 1000
const BATCH = 100
const STREAM = 'news'

export async function benchLiveFanout(report: Report, scale: Scale): Promise<void> {
  const directory = temporaryFolder()
  const daybook = await startDaybook(directory)
  await appendAll(`${daybook.url}/streams/${STREAM}`, bodies(1, 1))
  const file = join(temporaryFolder(), 'frame')
  writeFileSync(file, `${await firstFrame(daybook.url, STREAM)}\n`)
  const bare = await startBareLive(file)
  const ours = await subscribed(daybook)
  const limit = await subscribed(bare)

  for (const batch of [1, BATCH]) {
    const requests = bodies(scale.fanout, batch)
    const send = (server: Server, client: Worker<SubscriberJobs>, some = requests) =>
      rateOf(server.pid, async () => {
        const deliveries = some.length * batch * SUBSCRIBERS
        const delivered = client.do('expect', { events: deliveries })
        await appendAll(`${server.url}/streams/${STREAM}`, some)
        await delivered
        return deliveries
      })
    const few = bodies(BATCH, batch)
    await send(daybook, ours, few)
    await send(bare, limit, few)
    const rates = await inTurn(halfTheRounds(scale), {
      ours: () => send(daybook, ours),
      limit: () => send(bare, limit)
    })
    const how = batch === 1 ? 'appended one by one' : `appended by ${batch}`
    report.ratio('live-fanout', {
      what: `${count(scale.fanout)} events, ${how}, to ${count(SUBSCRIBERS)} subscribers`,
      unit: 'deliveries/s',
      rates: rates.ours,
      limit: { name: 'bare ws, the same bytes', rates: rates.limit },
      wanted: 0.5
    })
  }
  for (const one of [ours, limit, daybook, bare]) await one.stop()
  removeFolder(directory)
}

async function subscribed({ url }: Server): Promise<Worker<SubscriberJobs>> {
  const client = new Worker<SubscriberJobs>('subscribers')
  const paths = Array.from({ length: SUBSCRIBERS }, () => `/streams/${STREAM}?from=end`)
  await client.do('subscribe', { url, paths })
  return client
}

/** Requests that append so many events in all. */
function bodies(events: number, batch: number): string[] {
  return Array.from({ length: events / batch }, (_, n) => {
    const some = Array.from({ length: batch }, (_, i) => event(n * batch + i))
    return JSON.stringify(batch === 1 ? some[0] : some)
  })
}
