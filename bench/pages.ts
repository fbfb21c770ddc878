/** One event by number, and pages of 20: from 1,000 hot streams and from a large store at random. */
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { startBare } from './support/servers.js'
import type { Content } from './support/stores.js'
import { sends, startWork, type Work } from './support/work.js'
import { writeScript } from './support/wrk.js'

const PAGE = 20
/** Twice the page size per stream, so that a page does not reach the end of its stream. */
const HOT = { events: 2 * PAGE * 1000, streams: 1000 }

/** Reads over 64 connections. */
interface Reads extends Work {
  /** Path of one of the requested resources. */
  readonly example: string
  /** Least ratio to a bare route. Absent: the ratio is only printed. */
  readonly wanted?: number
}

export function eventWorks({ large }: Scale): Reads[] {
  const numbers = Array.from({ length: PAGE }, (_, number) => `/${number}`)
  const random = `one event by number, at random in ${count(large.streams)} streams`
  return [
    { ...reads(`one event by number, ${count(PAGE * HOT.streams)} hot ones`, HOT, numbers), wanted: 0.5 },
    reads(random, large, ['/7'])
  ]
}

export function pageWorks({ large }: Scale): Reads[] {
  const page = (store: Content, how: string) =>
    reads(`page of ${PAGE}, ${count(store.streams)} streams ${how}`, store, [`?limit=${PAGE}`])
  return [
    { ...page(HOT, 'hot'), wanted: 0.5 },
    { ...page(large, 'at random'), wanted: 0.2 }
  ]
}

export function atomWork(): Work {
  const atom = { suffixes: [`/0/forward/${PAGE}?embed=body`], accept: 'application/vnd.eventstore.atom+json' }
  return {
    what: `Atom page of ${PAGE}, embed=body, ${count(HOT.streams)} streams hot`,
    unit: '/s',
    store: HOT,
    client: sends(writeScript({ streams: HOT.streams, ...atom }))
  }
}

export async function benchEvent(report: Report, scale: Scale): Promise<void> {
  for (const work of eventWorks(scale)) await compare('event', work, report, scale)
}

export async function benchPage(report: Report, scale: Scale): Promise<void> {
  for (const work of pageWorks(scale)) await compare('page', work, report, scale)
}

/** The Atom form of the same pages, with the data in it, against the native form; both from the same server. */
export async function benchAtom(report: Report, scale: Scale): Promise<void> {
  const work = atomWork()
  const daybook = await startWork(work)
  const native = await sends(writeScript({ streams: HOT.streams, suffixes: [`?limit=${PAGE}`] }))(daybook.server)
  await native.load(2)
  const rates = await inTurn(scale, {
    atom: () => daybook.load(scale.seconds),
    native: () => native.load(scale.seconds)
  })
  await daybook.stop()
  const limit = { name: 'the native page', rates: rates.native }
  report.ratio('atom', { ...work, rates: rates.atom, limit, wanted: 0.6 })
}

function reads(what: string, store: Content, suffixes: readonly string[]): Reads {
  const script = writeScript({ streams: store.streams, suffixes })
  return { what, unit: '/s', store, client: sends(script), example: `/streams/bench-5${suffixes.at(-1)}` }
}

/** Against a bare route that sends the same bytes. */
async function compare(id: string, work: Reads, report: Report, scale: Scale): Promise<void> {
  const daybook = await startWork(work)
  const answer = await fetch(daybook.server.url + work.example)
  const bare = await startBare({ status: 200, bytes: Buffer.from(await answer.arrayBuffer()) })
  const client = await work.client(bare)
  await client.load(2)
  const rates = await inTurn(scale, {
    daybook: () => daybook.load(scale.seconds),
    bare: () => client.load(scale.seconds)
  })
  await bare.stop()
  await daybook.stop()
  report.ratio(id, { ...work, rates: rates.daybook, limit: { name: 'bare Fastify', rates: rates.bare } })
}
