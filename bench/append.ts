/** Durable single-event appends, against the same without the disk and against a bare route. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { event, lua, streamPaths } from './support/events.js'
import { median, type Report } from './support/report.js'
import { type Server, startBare, startDaybook, startWithoutDisk, temporaryFolder } from './support/servers.js'
import { load } from './support/wrk.js'

export async function benchAppend(
  report: Report,
  { rounds, seconds }: { rounds: number; seconds: number }
): Promise<void> {
  const body = JSON.stringify(event(1))
  const requests = `${streamPaths(1000)} body = ${lua(body)}`
  const daybook = await startDaybook(temporaryFolder())
  const answer = await fetch(`${daybook.url}/streams/sample-1`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body
  })
  const subjects: [string, Server][] = [
    ['daybook', daybook],
    ['without', await startWithoutDisk(temporaryFolder())],
    ['bare', await startBare({ status: 201, bytes: await answer.text() })]
  ]
  const rates: Record<string, number[]> = { daybook: [], without: [], bare: [] }
  const latencies: { p50: number; p99: number; p999: number }[] = []
  for (const [, { url }] of subjects) await load(url, { method: 'POST', connections: 64, seconds: 3, requests })
  for (let round = 0; round < rounds; round++) {
    for (const [name, { url }] of subjects) {
      const result = await load(url, { method: 'POST', connections: 64, seconds, requests })
      rates[name]?.push(result.rate)
      if (name === 'daybook') latencies.push(result)
    }
  }
  const rate = (name: string) => median(rates[name] as number[])
  const daybookRate = rate('daybook')
  report.rate(
    'durable appends, 64 connections',
    daybookRate,
    { name: 'without the disk', rate: rate('without') },
    '/s',
    0.6
  )
  report.rate('durable appends, 64 connections', daybookRate, { name: 'bare Fastify', rate: rate('bare') }, '/s', 0.45)
  const one = await load(daybook.url, { method: 'POST', connections: 1, seconds, requests })
  const sync = syncLatency()
  const many = latencies[0] as (typeof latencies)[number]
  report.note('append at 64 connections: p50 · p99 · p99.9', milliseconds(many))
  report.note('append at 1 connection: p50 · p99 · p99.9', milliseconds(one), `bare fdatasync ${milliseconds(sync)}`)
  for (const [, server] of subjects) await server.stop()
}

function milliseconds({ p50, p99, p999 }: { p50: number; p99: number; p999: number }): string {
  return `${[p50, p99, p999].map((value) => value.toFixed(2)).join(' · ')} ms`
}

/** What the disk alone takes for 300 bytes. */
function syncLatency(): { p50: number; p99: number; p999: number } {
  const file = openSync(join(temporaryFolder(), 'sync'), 'w')
  const bytes = Buffer.alloc(300, 1)
  const times: number[] = []
  for (let i = 0; i < 5000; i++) {
    const started = performance.now()
    writeSync(file, bytes)
    fdatasyncSync(file)
    times.push(performance.now() - started)
  }
  closeSync(file)
  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.floor(times.length * share)] as number
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
}
