/** A long log over one WebSocket, against a bare server that sends the very same frames from memory. */
import { join } from 'node:path'
import type { ReaderJobs } from './children/reader.js'
import { Worker } from './support/jobs.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { type Server, startBareLive, startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { rateOf } from './support/usage.js'

const BATCH = 100

export async function benchLiveCatchUp(report: Report, scale: Scale): Promise<void> {
  const events = scale.long
  const directory = await copiedStore({ events, streams: 10_000, killed: true })
  const daybook = await startDaybook(directory)
  for (const batch of [undefined, BATCH]) {
    const client = new Worker<ReaderJobs>('reader')
    const path = `/events?from=start${batch === undefined ? '' : `&batch=${batch}`}`
    const frames = temporaryFolder()
    const file = join(frames, 'frames')
    await client.do('read', { url: daybook.url, path, events, file })
    const bare = await startBareLive(file)
    removeFolder(frames)
    const read = (server: Server) => rateOf(server.pid, () => client.do('read', { url: server.url, path, events }))
    await read(bare) // Daybook has just been read once
    const rates = await inTurn(halfTheRounds(scale), { daybook: () => read(daybook), bare: () => read(bare) })
    await client.stop()
    await bare.stop()
    report.ratio('live-catchup', {
      what: `${count(events)} events, ${batch === undefined ? 'a frame each' : `${batch} in a frame`}, one client`,
      unit: 'events/s',
      rates: rates.daybook,
      limit: { name: 'bare ws, the same frames from memory', rates: rates.bare },
      wanted: 0.4
    })
  }
  await daybook.stop()
  removeFolder(directory)
}
