/** The cost of index streams for an append, and the cost of reading one compared with a plain stream. */
import { BATCH, BATCHES } from './batches.js'
import { event } from './support/events.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { sends, startWork, type Work } from './support/work.js'
import { writeScript } from './support/wrk.js'

const PAGE = 20
const STORE = { events: 40_000, streams: 1000 }

/**
 * Every event is in its category, its type and one of 1,000 correlations; its stream is in `$streams` and its category.
 */
function appendWorks(): (Work & { readonly wanted: number })[] {
  const flags = ['--run-projections', 'all']
  const singles = Array.from({ length: 64 }, (_, i) => JSON.stringify(linked(i)))
  const batches = Array.from({ length: 8 }, (_, n) => batch(n))
  return [
    {
      what: 'durable appends, all index streams',
      unit: '/s',
      flags,
      client: sends(writeScript({ streams: 1000, bodies: singles })),
      wanted: 0.7
    },
    {
      what: `batches of ${BATCH}, all index streams`,
      unit: 'events/s',
      flags,
      client: sends(writeScript({ streams: 1000, bodies: batches }), BATCHES),
      wanted: 0.6
    }
  ]
}

function categoryWork(): Work {
  const pages = Array.from({ length: STORE.streams }, (_, i) => `/streams/$ce-bench?from=${i * PAGE}&limit=${PAGE}`)
  return {
    what: `page of ${PAGE} of a category, ${count(pages.length)} pages hot`,
    unit: '/s',
    store: STORE,
    client: sends(writeScript({ paths: pages }))
  }
}

export function indexWorks(): Work[] {
  return [...appendWorks(), categoryWork()]
}

export async function benchIndexes(report: Report, scale: Scale): Promise<void> {
  for (const work of appendWorks()) {
    const all = await startWork(work)
    const none = await startWork({ ...work, flags: ['--run-projections', 'none'] })
    const rates = await inTurn(scale, { all: () => all.load(scale.seconds), none: () => none.load(scale.seconds) })
    await all.stop()
    await none.stop()
    report.ratio('indexes', { ...work, rates: rates.all, limit: { name: 'with none', rates: rates.none } })
  }
  await benchCategory(report, scale)
}

async function benchCategory(report: Report, scale: Scale): Promise<void> {
  const work = categoryWork()
  const daybook = await startWork(work)
  const suffixes = [`?from=0&limit=${PAGE}`]
  const stream = await sends(writeScript({ streams: STORE.streams, suffixes }))(daybook.server)
  await stream.load(2)
  const rates = await inTurn(scale, {
    category: () => daybook.load(scale.seconds),
    stream: () => stream.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: "a stream's page", rates: rates.stream }
  report.ratio('indexes', { ...work, rates: rates.category, limit, wanted: 0.7 })
}

function linked(i: number): object {
  return { ...event(i), metadata: { $correlationId: `order-${i % 1000}` } }
}

function batch(n: number): string {
  return JSON.stringify(Array.from({ length: BATCH }, (_, i) => linked(n * BATCH + i)))
}
