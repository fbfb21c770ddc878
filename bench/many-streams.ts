/**
 * A store with very many streams of one event each: the cost to fill it, keep it in memory, open it and append to it.
 */
import { randomInt, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { timeToReady } from './opening.js'
import { here } from './support/builds.js'
import { event } from './support/events.js'
import { appendAll } from './support/http.js'
import { bytesOnDisk } from './support/leveldb.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import { count, type Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { type Content, fillThroughServer } from './support/stores.js'
import { cpuSeconds, rateOf, repeat, residentMemory } from './support/usage.js'
import type { Client, Start, Work } from './support/work.js'

/** Number of events appended per round. */
const APPENDS = 20_000
const ROUNDS = 3
const ID = 'many-streams'

export function manyStreamsWorks({ many }: Scale): (Work | Start)[] {
  const store = contentOf(many)
  const unit = '/s'
  return [
    {
      what: `appends that begin a stream beside ${count(many)}`,
      unit,
      store,
      client: (server) => appends(server, newStream)
    },
    {
      what: `appends to one of ${count(many)} streams at random`,
      unit,
      store,
      client: (server) => appends(server, () => oldStream(many))
    },
    { what: `opening ${count(many)} streams after a clean stop`, unit, store, start: timeToReady }
  ]
}

export async function benchManyStreams(report: Report, { many, patience }: Scale): Promise<void> {
  const directory = temporaryFolder()
  await fill(report, directory, many)
  const streams = `${count(many)} streams`
  const daybook = await open(report, directory, `opening ${streams} after a clean stop`)
  await sleep(3000)
  noteMemory(report, `idle on ${streams}`, daybook)

  const fresh = appends(daybook, newStream)
  const old = appends(daybook, () => oldStream(many))
  await fresh.load(0)
  noteMemory(report, `after ${count(APPENDS)} more streams were begun`, daybook)
  await old.load(0)
  const rates = await inTurn({ rounds: ROUNDS, patience }, { fresh: () => fresh.load(0), old: () => old.load(0) })
  report.ratio(ID, {
    what: `appends that begin a stream beside ${count(many)}, 64 connections`,
    unit: '/s',
    rates: rates.fresh,
    limit: { name: 'to one of them at random', rates: rates.old }
  })
  noteMemory(report, `after ${count(APPENDS * 2 * (ROUNDS + 1))} appends`, daybook)
  await daybook.kill()
  await (await open(report, directory, `opening ${streams} after kill -9`)).stop()
  removeFolder(directory)
}

function contentOf(many: number): Content {
  return { events: many, streams: many, bare: true }
}

async function fill(report: Report, directory: string, many: number): Promise<void> {
  const started = performance.now()
  let said = 0
  const seconds = await fillThroughServer(directory, contentOf(many), here, (events) => {
    if (events < said + many / 10) return
    said = events
    const rate = events / ((performance.now() - started) / 1000)
    console.log(`${ID} … ${count(events)} of ${count(many)} streams, ${count(rate)} a second so far`)
  })
  report.note(ID, `filling ${count(many)} streams, batches of 500`, `${count(many / seconds)} events/s`)
  for (const folder of ['index', 'log']) {
    const bytes = bytesOnDisk(join(directory, folder)) / many
    report.note(ID, `bytes of the ${folder} a stream`, bytes.toFixed(1))
  }
}

/** Opens the store and reports the time. */
async function open(report: Report, directory: string, what: string): Promise<Server> {
  const started = performance.now()
  const daybook = await startDaybook(directory)
  const seconds = (performance.now() - started) / 1000
  report.note(ID, what, `${seconds.toFixed(2)} s`, `${cpuSeconds(daybook.pid).toFixed(2)} s of CPU`)
  return daybook
}

function noteMemory(report: Report, what: string, { pid }: Server): void {
  const { own, total } = residentMemory(pid)
  report.note(ID, `memory of its own, ${what}`, `${count(own)} MB`, `${count(total)} MB with files`)
}

/** A client that appends events one by one over 64 connections. @param stream returns the stream of the next event */
function appends({ url, pid }: Server, stream: () => string): Client {
  const append = async () => {
    await appendAll(`${url}/events`, bodies(stream), 64)
    return APPENDS
  }
  return { load: (seconds) => rateOf(pid, () => repeat(seconds, append)) }
}

function* bodies(stream: () => string): Generator<string> {
  for (let i = 0; i < APPENDS; i++) yield JSON.stringify({ events: [{ stream: stream(), ...event(i) }] })
}

function newStream(): string {
  return `bench-${randomUUID()}`
}

function oldStream(many: number): string {
  return `bench-${randomInt(many)}`
}
