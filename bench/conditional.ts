/** Appends on the condition that nobody wrote under a tag since it was read, against appends without a condition. */
import { event } from './support/events.js'
import { removeFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { load, type Script, writeScript } from './support/wrk.js'

const TAGS = 100_000

export async function benchConditional(report: Report, scale: Scale): Promise<void> {
  const store = { events: scale.conditional, streams: 10_000, tags: TAGS }
  const directory = await copiedStore(store)
  const daybook = await startDaybook(directory)
  const bodies = (conditional: boolean) => Array.from({ length: 256 }, (_, i) => body(i, conditional, store.events - 1))
  const scripts = {
    conditional: writeScript({ paths: ['/events'], bodies: bodies(true) }),
    free: writeScript({ paths: ['/events'], bodies: bodies(false) })
  }
  const options = { connections: 64, seconds: scale.seconds }
  const measure = (script: Script) => load(daybook, script, options)
  for (const script of Object.values(scripts)) await load(daybook, script, { ...options, seconds: 2 })
  const rates = await inTurn(scale, {
    conditional: () => measure(scripts.conditional),
    free: () => measure(scripts.free)
  })
  await daybook.stop()
  removeFolder(directory)
  const what = `appends under failIfEventsMatch on one tag, ${count(store.events)} events in the log`
  const limit = { name: 'without a condition', rates: rates.free }
  report.ratio('conditional', { what, unit: '/s', rates: rates.conditional, limit, wanted: 0.5 })
}

/** What is appended carries other tags than the one that is asked for, so the condition always holds. */
function body(i: number, conditional: boolean, after: number): string {
  const tags = [`order:${i}`]
  const events = [{ stream: `bench-${i % 1000}`, ...event(i), tags }]
  const tag = `customer:${(i * 7919) % TAGS}`
  const conditions = [{ failIfEventsMatch: { items: [{ tags: [tag] }] }, after }]
  return JSON.stringify(conditional ? { events, conditions } : { events })
}
