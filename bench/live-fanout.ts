/** Events of one stream to its 1,000 subscribers, against a bare server that sends the same bytes to all. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SubscriberJobs } from './children/subscribers.js'
import { event } from './support/events.js'
import { appendAll } from './support/http.js'
import { Worker } from './support/jobs.js'
import { firstFrame } from './support/live.js'
import { temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { startBareLive } from './support/servers.js'
import { rateOf, repeat } from './support/usage.js'
import { startWork, type Work } from './support/work.js'

const SUBSCRIBERS = 1000
const BATCH = 100
const STREAM = 'news'

/** Appends one by one, and many per request. */
export function fanoutWorks({ fanout }: Scale): Work[] {
  return [1, BATCH].map((batch) => ({
    what: `${count(fanout)} events, ${batch === 1 ? 'appended one by one' : `appended by ${batch}`}, to ${count(SUBSCRIBERS)} subscribers`,
    unit: 'deliveries/s',
    flags: ['--connections-per-address', '0'], // subscribers and appends come from one address
    async client({ url, pid }) {
      const subscribers = new Worker<SubscriberJobs>('subscribers')
      const paths = Array.from({ length: SUBSCRIBERS }, () => `/streams/${STREAM}?from=end`)
      await subscribers.do('subscribe', { url, paths })
      const requests = bodies(fanout, batch)
      const send = async () => {
        const deliveries = fanout * SUBSCRIBERS
        const delivered = subscribers.do('expect', { events: deliveries })
        await Promise.all([appendAll(`${url}/streams/${STREAM}`, requests), delivered])
        return deliveries
      }
      return { load: (seconds) => rateOf(pid, () => repeat(seconds, send)), leave: () => subscribers.stop() }
    }
  }))
}

export async function benchLiveFanout(report: Report, scale: Scale): Promise<void> {
  for (const work of fanoutWorks(scale)) {
    const daybook = await startWork(work, { warmUp: 0 })
    const file = join(temporaryFolder(), 'frame')
    writeFileSync(file, `${await firstFrame(daybook.server.url, STREAM)}\n`)
    const bare = await startBareLive(file)
    const limit = await work.client(bare)
    await limit.load(0)
    const rates = await inTurn(halfTheRounds(scale), { ours: () => daybook.load(0), limit: () => limit.load(0) })
    await limit.leave?.()
    await bare.stop()
    await daybook.stop()
    report.ratio('live-fanout', {
      ...work,
      rates: rates.ours,
      limit: { name: 'bare ws, the same bytes', rates: rates.limit },
      wanted: 0.5
    })
  }
}

/** Returns requests that append a total number of events. */
function bodies(events: number, batch: number): string[] {
  return Array.from({ length: events / batch }, (_, n) => {
    const some = Array.from({ length: batch }, (_, i) => event(n * batch + i))
    return JSON.stringify(batch === 1 ? some[0] : some)
  })
}
