/** Durable single-event appends while 100 subscribers listen to other streams, against nobody listening. */
import type { SubscriberJobs } from './children/subscribers.js'
import { singleBodies } from './support/events.js'
import { Worker } from './support/jobs.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook } from './support/servers.js'
import { load, writeScript } from './support/wrk.js'

const SUBSCRIBERS = 100

export async function benchLiveAppend(report: Report, scale: Scale): Promise<void> {
  const directory = temporaryFolder()
  const daybook = await startDaybook(directory)
  const client = new Worker<SubscriberJobs>('subscribers')
  const paths = Array.from({ length: SUBSCRIBERS }, (_, i) => `/streams/quiet-${i}?from=end`)
  const script = writeScript({ streams: 1000, bodies: singleBodies(64) })
  const alone = (seconds = scale.seconds) => load(daybook, script, { connections: 64, seconds })
  const listenedTo = async (seconds = scale.seconds) => {
    await client.do('subscribe', { url: daybook.url, paths })
    const result = await alone(seconds)
    await client.do('leave', {})
    return result
  }
  await alone(2)
  await listenedTo(1)
  const rates = await inTurn(scale, { listenedTo: () => listenedTo(), alone: () => alone() })
  await client.stop()
  await daybook.stop()
  removeFolder(directory)
  report.ratio('live-append', {
    what: `durable appends, 64 connections, ${SUBSCRIBERS} subscribers on other streams`,
    unit: '/s',
    rates: rates.listenedTo,
    limit: { name: 'with nobody listening', rates: rates.alone },
    wanted: 0.9
  })
}
