/** Durable single-event appends, against the same without the disk and against a bare route. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { singleBodies } from './support/events.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import type { Report } from './support/report.js'
import { inTurn, median, percentile } from './support/rounds.js'
import { halfTheRounds, type Scale } from './support/scale.js'
import { type Server, startBare, startWithoutDisk } from './support/servers.js'
import { sends, startWork, type Work } from './support/work.js'
import { type LoadResult, load, type Script, writeScript } from './support/wrk.js'

type Latency = Pick<LoadResult, 'p50' | 'p99' | 'p999'>

const BODIES = singleBodies(64)

export function appendWork(): Work & { readonly script: Script } {
  const script = writeScript({ streams: 1000, bodies: BODIES })
  return { what: 'durable appends, 64 connections', unit: '/s', script, client: sends(script) }
}

export async function benchAppend(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const { script, ...work } = appendWork()
  const subject = await startWork(work)
  const daybook = subject.server
  const withoutDisk = await startWithoutDisk()
  const bare = await startBare({ status: 201, bytes: await sampleAnswer(daybook, BODIES[0] as string) })

  for (const server of [withoutDisk, bare]) await load(server, script, { connections: 64, seconds: 2 })
  const measure = (server: Server, connections = 64) => load(server, script, { connections, seconds })
  const at64 = await inTurn(scale, {
    daybook: () => measure(daybook),
    withoutDisk: () => measure(withoutDisk),
    bare: () => measure(bare)
  })
  const at1 = await inTurn(halfTheRounds(scale), {
    daybook: () => measure(daybook, 1),
    disk: async () => syncLatency(seconds)
  })
  for (const one of [subject, withoutDisk, bare]) await one.stop()

  const figure = { ...work, rates: at64.daybook }
  report.ratio('append', { ...figure, limit: { name: 'without the disk', rates: at64.withoutDisk }, wanted: 0.6 })
  report.ratio('append', { ...figure, limit: { name: 'bare Fastify', rates: at64.bare }, aim: 0.45 })
  report.note('append', 'p50 · p99 · p99.9 at 64 connections', inWords(at64.daybook))
  report.note(
    'append',
    'p50 · p99 · p99.9 at 1 connection',
    inWords(at1.daybook),
    `${inWords(at1.disk)} bare fdatasync`
  )
}

/** Daybook's response to an append. */
async function sampleAnswer({ url }: Server, body: string): Promise<Buffer> {
  const answer = await fetch(`${url}/streams/bench-1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body
  })
  return Buffer.from(await answer.arrayBuffer())
}

/** Latency of the disk alone for 300 bytes, one write after the other. */
function syncLatency(seconds: number): Latency {
  const folder = temporaryFolder()
  const file = openSync(join(folder, 'sync'), 'w')
  const bytes = Buffer.alloc(300, 1)
  const times: number[] = []
  const end = performance.now() + seconds * 1000
  for (let started = performance.now(); started < end; started = performance.now()) {
    writeSync(file, bytes)
    fdatasyncSync(file)
    times.push(performance.now() - started)
  }
  closeSync(file)
  removeFolder(folder)
  times.sort((one, other) => one - other)
  return { p50: percentile(times, 0.5), p99: percentile(times, 0.99), p999: percentile(times, 0.999) }
}

/** Medians of the rounds. */
function inWords(latencies: readonly Latency[]): string {
  const middle = (of: (latency: Latency) => number) => median(latencies.map(of)).toFixed(2)
  return `${middle(({ p50 }) => p50)} · ${middle(({ p99 }) => p99)} · ${middle(({ p999 }) => p999)} ms`
}
