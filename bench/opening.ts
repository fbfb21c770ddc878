/** Opening a store after its process was killed: from the start of the process until it is ready. */
import type { Build } from './support/builds.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn, median } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { cpuSeconds, type Rate } from './support/usage.js'
import type { Start } from './support/work.js'

export function openingWork({ long }: Scale): Start {
  return {
    what: `opening ${count(long)} events after kill -9`,
    unit: '/s',
    store: { events: long, streams: 10_000, killed: true },
    start: timeToReady
  }
}

export async function benchOpening(report: Report, scale: Scale): Promise<void> {
  const { what, store } = openingWork(scale)
  const rounds = await inTurn(scale, {
    killed: async () => timeToReady(await copiedStore(store)),
    empty: () => timeToReady(temporaryFolder())
  })
  const seconds = (rates: readonly Rate[]) => median(rates.map(({ rate }) => 1 / rate))
  report.below('opening', { what, value: seconds(rounds.killed), bound: 2, unit: 's' })
  report.note('opening', 'opening an empty directory', `${seconds(rounds.empty).toPrecision(3)} s`)
}

/** Starts a server on the directory, then removes both. Returns openings per second, and the processor time of one. */
export async function timeToReady(directory: string, build?: Build): Promise<Rate> {
  const started = performance.now()
  const daybook = await startDaybook(directory, [], build)
  while (!(await fetch(`${daybook.url}/readyz`)).ok);
  const seconds = (performance.now() - started) / 1000
  const cpu = cpuSeconds(daybook.pid) * 1e6
  await daybook.stop()
  removeFolder(directory)
  return { rate: 1 / seconds, cpu }
}
