/**
 * Memory of a server with 1,000 idle subscriptions, and the memory cost of a subscriber that reads nothing during
 * appends.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SubscriberJobs } from './children/subscribers.js'
import { batchBodies } from './support/events.js'
import { appendAll } from './support/http.js'
import { Worker } from './support/jobs.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn, median } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook, startWeighed } from './support/servers.js'
import { peakMemory } from './support/usage.js'

const SUBSCRIBERS = 1000
const BATCH = 500
/**
 * MB. The buffer of one connection (256 KiB, and 1 MiB of live events), the size of one read beyond that, and a margin
 * for noise. A server that buffered everything would need several hundred.
 */
const BUFFERS = 16

export async function benchLiveMemory(report: Report, scale: Scale): Promise<void> {
  await benchIdle(report)
  await benchUnread(report, scale)
}

async function benchIdle(report: Report): Promise<void> {
  const directory = temporaryFolder()
  const daybook = await startDaybook(directory)
  const client = new Worker<SubscriberJobs>('subscribers')
  const paths = Array.from({ length: SUBSCRIBERS }, (_, i) => `/streams/quiet-${i}`)
  const { total, files } = await peakMemory(daybook.pid, async () => {
    await client.do('subscribe', { url: daybook.url, paths })
    await sleep(3000)
  })
  await client.stop()
  await daybook.stop()
  removeFolder(directory)
  const what = `with ${count(SUBSCRIBERS)} idle subscriptions (${count(files)} MB of it files)`
  report.below('live-memory', { what, value: total, bound: 250, unit: 'MB' })
}

/**
 * Resident memory varies by tens of MB with the time of the last garbage collection. So the server reports the memory
 * in use after a collection, while the subscriber is still connected.
 */
async function benchUnread(report: Report, scale: Scale): Promise<void> {
  const events = scale.long
  const { unread, alone } = await inTurn(
    { ...scale, rounds: 2 },
    { unread: () => append(events, true), alone: () => append(events, false) }
  )
  const middle = (rounds: readonly Weight[], of: 'held' | 'peak') => median(rounds.map((weight) => weight[of]))
  report.below('live-memory', {
    what: `a subscriber that reads nothing while ${count(events)} events are appended, beyond ${count(middle(alone, 'held'))} MB held without it`,
    value: median(unread.map(({ held }, round) => held - (alone[round] as Weight).held)),
    bound: BUFFERS,
    unit: 'MB'
  })
  const resident = (rounds: readonly Weight[]) => `${count(middle(rounds, 'peak'))} MB`
  const beside = `${resident(alone)} without it`
  report.note('live-memory', 'the most resident memory meanwhile, without files', resident(unread), beside)
  report.note('live-memory', 'when it then read', unread.map(({ end }) => end).join('; '))
}

interface Weight {
  /** JavaScript memory in use at the end, after a collection, MB. */
  readonly held: number
  /** Maximum resident memory without pages of files, MB. */
  readonly peak: number
  /**
   * Outcome of the subscriber's reads. On a busy machine the server may have closed it because it read nothing for too
   * long.
   */
  readonly end: string
}

/**
 * Appends a number of events to a new server.
 * @param unread with a subscriber that starts to read after the last append
 */
async function append(events: number, unread: boolean): Promise<Weight> {
  const directory = temporaryFolder()
  const daybook = await startWeighed(directory)
  const client = new Worker<SubscriberJobs>('subscribers')
  if (unread) {
    await client.do('subscribe', { url: daybook.url, paths: ['/events?from=end'] })
    await client.do('pause', {})
  }
  const some = batchBodies(8, BATCH)
  const bodies = Array.from({ length: events / BATCH }, (_, i) => some[i % some.length] as string)
  const { total, files } = await peakMemory(daybook.pid, () => appendAll(`${daybook.url}/streams/unread`, bodies, 4))
  const held = await daybook.weigh()
  let end = ''
  if (unread) {
    await client.do('resume', {})
    const all = client.do('expect', { events })
    end = await all.then(
      () => 'everything came',
      (error: Error) => error.message
    )
  }
  await client.stop()
  await daybook.stop()
  removeFolder(directory)
  return { held, peak: total - files, end }
}
