/** Batches of 500 events a POST, against LevelDB alone writing as many records with a key of an index each. */
import { join } from 'node:path'
import { event, lua, streamPaths } from './support/events.js'
import { openBare, writeBatch } from './support/leveldb.js'
import { median, type Report } from './support/report.js'
import { startDaybook, temporaryFolder } from './support/servers.js'
import { load } from './support/wrk.js'

const BATCH = 500

export async function benchBatches(
  report: Report,
  { rounds, seconds }: { rounds: number; seconds: number }
): Promise<void> {
  const requests = batchRequests()
  const daybook = await startDaybook(temporaryFolder())
  const ours: number[] = []
  const bare: number[] = []
  await load(daybook.url, { method: 'POST', connections: 4, seconds: 2, requests })
  for (let round = 0; round < rounds; round++) {
    ours.push((await load(daybook.url, { method: 'POST', connections: 4, seconds, requests })).rate * BATCH)
    bare.push(await bareRate(seconds))
  }
  await daybook.stop()
  report.rate(
    'batches of 500, 4 connections',
    median(ours),
    { name: 'bare leveldown', rate: median(bare) },
    'events/s',
    0.8
  )
  report.note('batches of 500: aim', `${(median(ours) / median(bare)).toFixed(2)} of 1.1`)
}

/** 1,000 streams, eight different bodies. */
export function batchRequests(streams = 1000): string {
  const bodies = Array.from({ length: 8 }, (_, n) =>
    lua(JSON.stringify(Array.from({ length: BATCH }, (_, i) => event(n * BATCH + i))))
  )
  return `${streamPaths(streams)} bodies = { ${bodies.join(', ')} }`
}

/** Events a second of chained, synced batches: a record of 300 bytes and a small key each. */
async function bareRate(seconds: number): Promise<number> {
  const db = await openBare(join(temporaryFolder(), 'db'))
  const value = Buffer.alloc(300)
  const text = JSON.stringify(event(1))
  value.write(text.padEnd(300, text))
  const small = Buffer.alloc(6)
  let next = 0
  const started = performance.now()
  while (performance.now() - started < seconds * 1000) {
    await writeBatch(db, (batch) => {
      for (let i = 0; i < BATCH; i++) {
        const key = Buffer.alloc(8)
        key.writeUInt32BE(next, 4)
        const second = Buffer.alloc(16)
        second.writeUInt32BE(next % 1000, 4)
        second.writeUInt32BE(next++, 12)
        batch.put(key, value)
        batch.put(second, small)
      }
    })
  }
  const rate = next / ((performance.now() - started) / 1000)
  await new Promise((resolve) => db.close(resolve))
  return rate
}
