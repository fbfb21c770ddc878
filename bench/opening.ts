/** Opening a store after its process was killed, and the memory a server takes. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { event, lua, streamPaths } from './support/events.js'
import { drain } from './support/http.js'
import type { Report } from './support/report.js'
import { removeFolder, residentMegabytes, startDaybook, temporaryFolder } from './support/servers.js'
import { load } from './support/wrk.js'

export async function benchOpening(
  report: Report,
  { events, seconds }: { events: number; seconds: number }
): Promise<void> {
  const directory = temporaryFolder()
  const filler = fileURLToPath(new URL('servers/fill-and-die.ts', import.meta.url))
  try {
    execFileSync(process.execPath, ['--import=tsx', filler, directory, String(events)], { stdio: 'inherit' })
  } catch (error) {
    if ((error as { signal?: string }).signal !== 'SIGKILL') throw error
  }
  const started = performance.now()
  const daybook = await startDaybook(directory)
  while (!(await fetch(`${daybook.url}/readyz`)).ok);
  const taken = (performance.now() - started) / 1000
  report.atMost(`opening ${events.toLocaleString('en-US')} events after kill -9`, taken, 2, 's')

  let peak = 0
  await drain(`${daybook.url}/events?format=ndjson`, () => {
    peak = Math.max(peak, residentMegabytes(daybook.pid))
  })
  report.atMost(`memory while streaming ${events.toLocaleString('en-US')} events`, peak, 300, 'MB')
  await daybook.stop()
  removeFolder(directory)
  await benchMemory(report, seconds)
}

async function benchMemory(report: Report, seconds: number): Promise<void> {
  const daybook = await startDaybook(temporaryFolder())
  await fetch(`${daybook.url}/readyz`)
  report.atMost('memory, idle', residentMegabytes(daybook.pid), 120, 'MB')
  let peak = 0
  const sampling = setInterval(() => {
    peak = Math.max(peak, residentMegabytes(daybook.pid))
  }, 50)
  const requests = `${streamPaths(10_000)} body = ${lua(JSON.stringify(event(1)))}`
  await load(daybook.url, { method: 'POST', connections: 64, seconds: seconds * 3, requests })
  clearInterval(sampling)
  report.atMost('memory while 64 connections append', peak, 400, 'MB')
  await daybook.stop()
}
