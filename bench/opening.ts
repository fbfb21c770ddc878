/** Opening a store after its process was killed: from the start of the process until it is ready. */
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn, median } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'

export async function benchOpening(report: Report, scale: Scale): Promise<void> {
  const { long } = scale
  const killed = { events: long, streams: 10_000, killed: true }
  const seconds = await inTurn(scale, {
    killed: async () => timeToReady(await copiedStore(killed)),
    empty: () => timeToReady(temporaryFolder())
  })
  const what = `opening ${count(long)} events after kill -9`
  report.below('opening', { what, value: median(seconds.killed), bound: 2, unit: 's' })
  report.note('opening', 'opening an empty directory', `${median(seconds.empty).toPrecision(3)} s`)
}

async function timeToReady(directory: string): Promise<number> {
  const started = performance.now()
  const daybook = await startDaybook(directory)
  while (!(await fetch(`${daybook.url}/readyz`)).ok);
  const seconds = (performance.now() - started) / 1000
  await daybook.stop()
  removeFolder(directory)
  return seconds
}
