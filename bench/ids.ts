/** Appends of events with client ids, against the same events without, which get ids from the server. */
import { BATCH, BATCHES } from './batches.js'
import { event } from './support/events.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { sends, startWork, type Work } from './support/work.js'
import { FRESH, writeScript } from './support/wrk.js'

interface Pair {
  readonly brought: Work
  /** The same requests, without ids. */
  readonly given: Work
}

function pairs(): Pair[] {
  const single = (ids: boolean) => ({
    what: 'durable appends, 64 connections, an id each',
    unit: '/s',
    client: sends(writeScript({ streams: 1000, bodies: Array.from({ length: 64 }, (_, i) => body(one(i, ids))) }))
  })
  const batches = (ids: boolean) => {
    const bodies = Array.from({ length: 8 }, (_, n) =>
      body(Array.from({ length: BATCH }, (_, i) => one(n * BATCH + i, ids)))
    )
    return {
      what: `batches of ${BATCH}, 4 connections, an id each`,
      unit: 'events/s',
      client: sends(writeScript({ streams: 1000, bodies }), BATCHES)
    }
  }
  return [
    { brought: single(true), given: single(false) },
    { brought: batches(true), given: batches(false) }
  ]
}

function one(i: number, id: boolean): object {
  return id ? { id: FRESH, ...event(i) } : event(i)
}

function body(events: object): string {
  return JSON.stringify(events)
}

export function idWorks(): Work[] {
  return pairs().map(({ brought }) => brought)
}

export async function benchIds(report: Report, scale: Scale): Promise<void> {
  for (const { brought, given } of pairs()) {
    const ours = await startWork(brought)
    const limit = await startWork(given)
    const rates = await inTurn(scale, { ours: () => ours.load(scale.seconds), limit: () => limit.load(scale.seconds) })
    await ours.stop()
    await limit.stop()
    report.ratio('ids', { ...brought, rates: rates.ours, limit: { name: 'without ids', rates: rates.limit } })
  }
}
