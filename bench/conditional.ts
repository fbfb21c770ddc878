/**
 * Appends on the condition that no event with a tag was appended since the last read, against appends without a
 * condition.
 */
import { event } from './support/events.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { sends, startWork, type Work } from './support/work.js'
import { type Script, writeScript } from './support/wrk.js'

const TAGS = 100_000

export function conditionalWork({ conditional: events }: Scale): Work {
  return {
    what: `appends under failIfEventsMatch on one tag, ${count(events)} events in the log`,
    unit: '/s',
    store: { events, streams: 10_000, tags: TAGS },
    client: sends(script(true, events - 1))
  }
}

export async function benchConditional(report: Report, scale: Scale): Promise<void> {
  const work = conditionalWork(scale)
  const daybook = await startWork(work)
  const free = await sends(script(false, scale.conditional - 1))(daybook.server)
  await free.load(2)
  const rates = await inTurn(scale, {
    conditional: () => daybook.load(scale.seconds),
    free: () => free.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: 'without a condition', rates: rates.free }
  report.ratio('conditional', { ...work, rates: rates.conditional, limit, wanted: 0.5 })
}

function script(conditional: boolean, after: number): Script {
  const bodies = Array.from({ length: 256 }, (_, i) => body(i, conditional, after))
  return writeScript({ paths: ['/events'], bodies })
}

/** The appended events have other tags than the one in the condition, so the condition always holds. */
function body(i: number, conditional: boolean, after: number): string {
  const tags = [`order:${i}`]
  const events = [{ stream: `bench-${i % 1000}`, ...event(i), tags }]
  const tag = `customer:${(i * 7919) % TAGS}`
  const conditions = [{ failIfEventsMatch: { items: [{ tags: [tag] }] }, after }]
  return JSON.stringify(conditional ? { events, conditions } : { events })
}
