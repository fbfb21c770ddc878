/** What index streams cost an append, and what reading one costs beside reading a stream. */
import { batchRate } from './batches.js'
import { event } from './support/events.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { load, writeScript } from './support/wrk.js'

const BATCH = 500
const PAGE = 20
const STORE = { events: 40_000, streams: 1000 }

export async function benchIndexes(report: Report, scale: Scale): Promise<void> {
  await benchAppends(report, scale)
  await benchCategory(report, scale)
}

/** Every event stands in its category, its type, and one of 1,000 correlations; its stream in `$streams` and its category. */
async function benchAppends(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const folders = [temporaryFolder(), temporaryFolder()] as const
  const all = await startDaybook(folders[0], ['--run-projections', 'all'])
  const none = await startDaybook(folders[1], ['--run-projections', 'none'])
  const singles = writeScript({
    streams: 1000,
    bodies: Array.from({ length: 64 }, (_, i) => JSON.stringify(linked(i)))
  })
  const batches = writeScript({ streams: 1000, bodies: Array.from({ length: 8 }, (_, n) => batch(n)) })
  const single = (server: Server) => load(server, singles, { connections: 64, seconds })
  for (const server of [all, none]) await load(server, singles, { connections: 64, seconds: 2 })
  const at64 = await inTurn(scale, { all: () => single(all), none: () => single(none) })
  const batched = await inTurn(scale, {
    all: () => batchRate(all, batches, seconds),
    none: () => batchRate(none, batches, seconds)
  })
  await all.stop()
  await none.stop()
  for (const folder of folders) removeFolder(folder)
  const limit = (rates: typeof at64.none) => ({ name: 'with none', rates })
  const what = 'durable appends, all index streams'
  report.ratio('indexes', { what, unit: '/s', rates: at64.all, limit: limit(at64.none), wanted: 0.7 })
  const rates = { rates: batched.all, limit: { name: 'with none', rates: batched.none } }
  report.ratio('indexes', { what: `batches of ${BATCH}, all index streams`, unit: 'events/s', ...rates, wanted: 0.6 })
}

function linked(i: number): object {
  return { ...event(i), metadata: { $correlationId: `order-${i % 1000}` } }
}

function batch(n: number): string {
  return JSON.stringify(Array.from({ length: BATCH }, (_, i) => linked(n * BATCH + i)))
}

async function benchCategory(report: Report, scale: Scale): Promise<void> {
  const directory = await copiedStore(STORE)
  const daybook = await startDaybook(directory)
  const pages = Array.from({ length: STORE.streams }, (_, i) => `/streams/$ce-bench?from=${i * PAGE}&limit=${PAGE}`)
  const category = writeScript({ paths: pages })
  const stream = writeScript({ streams: STORE.streams, suffixes: [`?from=0&limit=${PAGE}`] })
  for (const script of [category, stream]) await load(daybook, script, { connections: 64, seconds: 2 })
  const options = { connections: 64, seconds: scale.seconds }
  const rates = await inTurn(scale, {
    category: () => load(daybook, category, options),
    stream: () => load(daybook, stream, options)
  })
  await daybook.stop()
  removeFolder(directory)
  const what = `page of ${PAGE} of a category, ${count(pages.length)} pages hot`
  const limit = { name: "a stream's page", rates: rates.stream }
  report.ratio('indexes', { what, unit: '/s', rates: rates.category, limit, wanted: 0.7 })
}
