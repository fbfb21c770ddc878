/** One event by number, and pages of 20: from 1,000 hot streams and from 100,000 at random. */
import { streamPaths } from './support/events.js'
import { fill } from './support/fill.js'
import { median, type Report } from './support/report.js'
import { type Server, startBare, startDaybook, temporaryFolder } from './support/servers.js'
import { load } from './support/wrk.js'

interface Options {
  rounds: number
  seconds: number
}

export async function benchPages(report: Report, options: Options): Promise<void> {
  const directory = temporaryFolder()
  await fill(directory, { events: 40_000, streams: 1000 })
  const daybook = await startDaybook(directory)
  await compare(report, 'one event by number, 64 connections', daybook, streamPaths(1000, '/7'), 0.5, options)
  await compare(report, 'page of 20, 1,000 hot streams', daybook, streamPaths(1000, '?limit=20'), 0.5, options)
  await daybook.stop()
}

/** @param directory a store of at least 20 events in each of 100,000 streams */
export async function benchRandomPages(
  report: Report,
  directory: string,
  streams: number,
  options: Options
): Promise<void> {
  const daybook = await startDaybook(directory)
  await compare(
    report,
    `page of 20, ${streams.toLocaleString('en-US')} streams at random`,
    daybook,
    streamPaths(streams, '?limit=20'),
    0.2,
    options
  )
  await daybook.stop()
}

async function compare(
  report: Report,
  what: string,
  daybook: Server,
  paths: string,
  wanted: number,
  { rounds, seconds }: Options
): Promise<void> {
  const sample = /"(\/streams.*?)" \.\. \(i - 1\) \.\. "(.*?)"/.exec(paths) as RegExpExecArray
  const answer = await fetch(`${daybook.url}${sample[1]}5${sample[2]}`)
  const bare = await startBare({ status: 200, bytes: await answer.text() })
  const request = { method: 'GET', connections: 64, seconds, requests: paths } as const
  const ours: number[] = []
  const limit: number[] = []
  for (const { url } of [daybook, bare]) await load(url, { ...request, seconds: 2 })
  for (let round = 0; round < rounds; round++) {
    ours.push((await load(daybook.url, request)).rate)
    limit.push((await load(bare.url, request)).rate)
  }
  await bare.stop()
  report.rate(what, median(ours), { name: 'bare Fastify', rate: median(limit) }, '/s', wanted)
}
