/** A long log over one WebSocket, against a bare server that sends the very same frames from memory. */
import { join } from 'node:path'
import type { ReaderJobs } from './children/reader.js'
import { Worker } from './support/jobs.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { type Server, startBareLive } from './support/servers.js'
import { rateOf, repeat } from './support/usage.js'
import { type Client, startWork, type Work } from './support/work.js'

const BATCH = 100

interface CatchUp extends Work {
  readonly events: number
  readonly path: string
  client(server: Server): Client
}

/** One event per frame, and many per frame. */
export function catchUpWorks({ long: events }: Scale): CatchUp[] {
  return [undefined, BATCH].map((batch) => {
    const path = `/events?from=start${batch === undefined ? '' : `&batch=${batch}`}`
    return {
      what: `${count(events)} events, ${batch === undefined ? 'a frame each' : `${batch} in a frame`}, one client`,
      unit: 'events/s',
      store: { events, streams: 10_000, killed: true },
      events,
      path,
      client({ url, pid }) {
        const reader = new Worker<ReaderJobs>('reader')
        const read = () => reader.do('read', { url, path, events })
        return { load: (seconds) => rateOf(pid, () => repeat(seconds, read)), leave: () => reader.stop() }
      }
    }
  })
}

export async function benchLiveCatchUp(report: Report, scale: Scale): Promise<void> {
  for (const work of catchUpWorks(scale)) {
    const daybook = await startWork(work)
    const folder = temporaryFolder()
    const bare = await startBareLive(await keepFrames(daybook.server, work, join(folder, 'frames')))
    removeFolder(folder)
    const limit = work.client(bare)
    await limit.load(0)
    const rates = await inTurn(halfTheRounds(scale), { daybook: () => daybook.load(0), bare: () => limit.load(0) })
    await limit.leave?.()
    await bare.stop()
    await daybook.stop()
    report.ratio('live-catchup', {
      ...work,
      rates: rates.daybook,
      limit: { name: 'bare ws, the same frames from memory', rates: rates.bare },
      wanted: 0.4
    })
  }
}

/** Writes the frames of the server to a file, one per line. Returns the file's path. */
async function keepFrames({ url }: Server, { path, events }: CatchUp, file: string): Promise<string> {
  const reader = new Worker<ReaderJobs>('reader')
  await reader.do('read', { url, path, events, file })
  await reader.stop()
  return file
}
