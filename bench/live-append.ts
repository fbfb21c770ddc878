/** Durable single-event appends with 100 subscribers on other streams, against the same without subscribers. */
import { appendWork } from './append.js'
import type { SubscriberJobs } from './children/subscribers.js'
import { Worker } from './support/jobs.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startWork, type Work } from './support/work.js'

const SUBSCRIBERS = 100

export function liveAppendWork(): Work {
  const { what, unit, client } = appendWork()
  return {
    what: `${what}, ${SUBSCRIBERS} subscribers on other streams`,
    unit,
    async client(server) {
      const appends = await client(server)
      const subscribers = new Worker<SubscriberJobs>('subscribers')
      const paths = Array.from({ length: SUBSCRIBERS }, (_, i) => `/streams/quiet-${i}?from=end`)
      return {
        async load(seconds) {
          await subscribers.do('subscribe', { url: server.url, paths })
          const rate = await appends.load(seconds)
          await subscribers.do('leave', {})
          return rate
        },
        leave: () => subscribers.stop()
      }
    }
  }
}

export async function benchLiveAppend(report: Report, scale: Scale): Promise<void> {
  const work = liveAppendWork()
  const daybook = await startWork(work)
  const alone = await appendWork().client(daybook.server)
  await alone.load(2)
  const rates = await inTurn(scale, {
    listenedTo: () => daybook.load(scale.seconds),
    alone: () => alone.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: 'with nobody listening', rates: rates.alone }
  report.ratio('live-append', { ...work, rates: rates.listenedTo, limit, wanted: 0.9 })
}
