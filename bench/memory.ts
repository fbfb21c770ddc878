/** Resident memory of a server: idle, while it streams a long log, and while 64 connections append. */
import { setTimeout as sleep } from 'node:timers/promises'
import { singleBodies } from './support/events.js'
import { drainLog } from './support/http.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import type { Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { peakMemory, type Resident } from './support/usage.js'
import { load, writeScript } from './support/wrk.js'

export async function benchMemory(report: Report, { long, rounds, seconds }: Scale): Promise<void> {
  const print = (what: string, { total, files }: Resident, bound: number) => {
    report.below('memory', { what: `${what} (${count(files)} MB of it files)`, value: total, bound, unit: 'MB' })
  }
  const script = writeScript({ streams: 10_000, bodies: singleBodies(64) })
  await withServer(temporaryFolder(), async (server) => {
    const { pid } = server
    print('idle', await peakMemory(pid, () => sleep(3000)), 120)
    const appending = () => load(server, script, { connections: 64, seconds: rounds * seconds })
    print('while 64 connections append', await peakMemory(pid, appending), 400)
  })
  await withServer(await copiedStore({ events: long, streams: 10_000, killed: true }), async ({ url, pid }) => {
    print(`while streaming ${count(long)} events`, await peakMemory(pid, () => drainLog(url, long)), 300)
  })
}

async function withServer(directory: string, work: (server: Server) => Promise<void>): Promise<void> {
  const daybook = await startDaybook(directory)
  await work(daybook)
  await daybook.stop()
  removeFolder(directory)
}
