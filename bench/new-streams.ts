/** Appends whose events each begin a stream of their own, against the same into 1,000 known streams. */
import { randomUUID } from 'node:crypto'
import { BATCH, BATCHES } from './batches.js'
import { event, singleBodies } from './support/events.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { sends, startWork, type Work } from './support/work.js'
import { FRESH, writeScript } from './support/wrk.js'

/** Names as long as those of the new ones. */
const KNOWN = Array.from({ length: 1000 }, () => `order-${randomUUID()}`)
const NEW = [`order-${FRESH}`]

/** Each event in a stream of its own, and the same into known streams. */
const pairs = [single, batches].map((work) => ({ fresh: () => work(NEW), known: () => work(KNOWN) }))

export function newStreamWorks(): Work[] {
  return pairs.map(({ fresh }) => fresh())
}

export async function benchNewStreams(report: Report, scale: Scale): Promise<void> {
  for (const { fresh, known } of pairs) {
    const work = fresh()
    const ours = await startWork(work)
    const limit = await startWork(known())
    const rates = await inTurn(scale, { ours: () => ours.load(scale.seconds), limit: () => limit.load(scale.seconds) })
    await ours.stop()
    await limit.stop()
    report.ratio('new-streams', { ...work, rates: rates.ours, limit: { name: 'to 1,000 streams', rates: rates.limit } })
  }
}

/** A request for every name in turn, and at least one for each of the bodies. */
function single(names: readonly string[]): Work {
  const bodies = singleBodies(64)
  const paths = Array.from({ length: Math.max(names.length, bodies.length) }, (_, i) => `/streams/${at(names, i)}`)
  return {
    what: 'durable appends, 64 connections, each begins a stream',
    unit: '/s',
    client: sends(writeScript({ paths, bodies }))
  }
}

function batches(names: readonly string[]): Work {
  const bodies = Array.from({ length: 8 }, (_, n) => {
    const events = Array.from({ length: BATCH }, (_, i) => ({ stream: at(names, n * BATCH + i), ...event(i) }))
    return JSON.stringify({ events })
  })
  return {
    what: `batches of ${BATCH} to POST /events, 4 connections, each event begins a stream`,
    unit: 'events/s',
    client: sends(writeScript({ paths: ['/events'], bodies }), BATCHES)
  }
}

function at(names: readonly string[], i: number): string {
  return names[i % names.length] as string
}
