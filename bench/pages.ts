/** One event by number, and pages of 20: from 1,000 hot streams and from a large store at random. */
import { removeFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Server, startBare, startDaybook } from './support/servers.js'
import { copiedStore } from './support/stores.js'
import { load, type Script, writeScript } from './support/wrk.js'

const PAGE = 20
/** Twice as many events as one page holds of each stream, so that a page is not the end of its stream. */
const HOT = { events: 2 * PAGE * 1000, streams: 1000 }

interface Read {
  readonly id: string
  readonly what: string
  readonly store: { readonly events: number; readonly streams: number }
  readonly suffixes: readonly string[]
  /** Absent: only printed. */
  readonly wanted?: number
}

export async function benchEvent(report: Report, scale: Scale): Promise<void> {
  const suffixes = Array.from({ length: PAGE }, (_, number) => `/${number}`)
  const what = `one event by number, ${count(PAGE * HOT.streams)} hot ones`
  await compare(report, { id: 'event', what, store: HOT, suffixes, wanted: 0.5 }, scale)
  const random = `one event by number, at random in ${count(scale.large.streams)} streams`
  await compare(report, { id: 'event', what: random, store: scale.large, suffixes: ['/7'] }, scale)
}

export async function benchPage(report: Report, scale: Scale): Promise<void> {
  const suffixes = [`?limit=${PAGE}`]
  const what = (streams: number, how: string) => `page of ${PAGE}, ${count(streams)} streams ${how}`
  const { large } = scale
  await compare(report, { id: 'page', what: what(HOT.streams, 'hot'), store: HOT, suffixes, wanted: 0.5 }, scale)
  const random = what(large.streams, 'at random')
  await compare(report, { id: 'page', what: random, store: large, suffixes, wanted: 0.2 }, scale)
}

/** The Atom form of the same pages, with the data in it, against the native form; both from the same server. */
export async function benchAtom(report: Report, scale: Scale): Promise<void> {
  const directory = await copiedStore(HOT)
  const daybook = await startDaybook(directory)
  const atom = { suffixes: [`/0/forward/${PAGE}?embed=body`], accept: 'application/vnd.eventstore.atom+json' }
  const scripts = {
    atom: writeScript({ streams: HOT.streams, ...atom }),
    native: writeScript({ streams: HOT.streams, suffixes: [`?limit=${PAGE}`] })
  }
  for (const script of Object.values(scripts)) await load(daybook, script, { connections: 64, seconds: 2 })
  const measure = (script: Script) => load(daybook, script, { connections: 64, seconds: scale.seconds })
  const rates = await inTurn(scale, { atom: () => measure(scripts.atom), native: () => measure(scripts.native) })
  await daybook.stop()
  removeFolder(directory)
  const limit = { name: 'the native page', rates: rates.native }
  const what = `Atom page of ${PAGE}, embed=body, ${count(HOT.streams)} streams hot`
  report.ratio('atom', { what, unit: '/s', rates: rates.atom, limit, wanted: 0.6 })
}

/** Reads from a store over 64 connections, against a bare route that sends the same bytes. */
async function compare(report: Report, read: Read, scale: Scale): Promise<void> {
  const { id, what, store, suffixes, wanted } = read
  const directory = await copiedStore(store)
  const daybook = await startDaybook(directory)
  const answer = await fetch(`${daybook.url}/streams/bench-5${suffixes.at(-1)}`)
  const bare = await startBare({ status: 200, bytes: Buffer.from(await answer.arrayBuffer()) })
  const script = writeScript({ streams: store.streams, suffixes })
  for (const server of [daybook, bare]) await load(server, script, { connections: 64, seconds: 2 })
  const measure = (server: Server) => load(server, script, { connections: 64, seconds: scale.seconds })
  const rates = await inTurn(scale, { daybook: () => measure(daybook), bare: () => measure(bare) })
  await bare.stop()
  await daybook.stop()
  removeFolder(directory)
  const limit = { name: 'bare Fastify', rates: rates.bare }
  report.ratio(id, { what, unit: '/s', rates: rates.daybook, limit, ...(wanted !== undefined && { wanted }) })
}
