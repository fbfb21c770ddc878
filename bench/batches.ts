/** Batches of 500 events a POST, against LevelDB alone writing as many records, each with a second key. */
import { join } from 'node:path'
import { batchBodies } from './support/events.js'
import { type Bare, closeBare, openBare, writeBatch } from './support/leveldb.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Server, startDaybook } from './support/servers.js'
import { type Rate, rateOf } from './support/usage.js'
import { load, type Script, writeScript } from './support/wrk.js'

const BATCH = 500
const CONNECTIONS = 4

export async function benchBatches(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const script = batchScript(1000)
  const directory = temporaryFolder()
  const daybook = await startDaybook(join(directory, 'daybook'))
  const bare = new BareBatches(await openBare(join(directory, 'bare')))
  await batchRate(daybook, script, 2)
  await bare.rate(1)
  const { ours, limit } = await inTurn(scale, {
    ours: () => batchRate(daybook, script, seconds),
    limit: () => bare.rate(seconds)
  })
  await daybook.stop()
  await bare.close()
  removeFolder(directory)
  const what = `batches of ${BATCH}, ${CONNECTIONS} connections`
  const comparison = { what, unit: 'events/s', rates: ours, limit: { name: 'bare leveldown', rates: limit } }
  report.ratio('batches', { ...comparison, wanted: 0.8, aim: 1.1 })
}

/** Requests of one batch each, to one of so many streams. */
export function batchScript(streams: number): Script {
  return writeScript({ streams, bodies: batchBodies(8, BATCH) })
}

/** Events a second. */
export async function batchRate(server: Server, script: Script, seconds: number): Promise<Rate> {
  const { rate, cpu } = await load(server, script, { connections: CONNECTIONS, seconds })
  return { rate: rate * BATCH, cpu: cpu / BATCH }
}

/** Chained, synced batches: a record of 300 bytes under a rising key, and a small entry under the key of its stream. */
class BareBatches {
  readonly #db: Bare
  readonly #value = Buffer.from(batchBodies(1, 2)[0] as string).subarray(0, 300)
  readonly #second = Buffer.alloc(6)
  /** Written anew for each record: a batch copies what it is given. */
  readonly #key = Buffer.alloc(8)
  readonly #secondKey = Buffer.alloc(16)
  #next = 0

  constructor(db: Bare) {
    this.#db = db
  }

  /** Events a second. */
  rate(seconds: number): Promise<Rate> {
    return rateOf(process.pid, () => this.#write(seconds))
  }

  /** @returns how many events it wrote */
  async #write(seconds: number): Promise<number> {
    const first = this.#next
    const started = performance.now()
    while (performance.now() - started < seconds * 1000) {
      await writeBatch(this.#db, (batch) => {
        for (let i = 0; i < BATCH; i++) {
          this.#key.writeUInt32BE(this.#next, 4)
          this.#secondKey.writeUInt32BE(this.#next % 1000, 4)
          this.#secondKey.writeUInt32BE(this.#next++, 12)
          batch.put(this.#key, this.#value)
          batch.put(this.#secondKey, this.#second)
        }
      })
    }
    return this.#next - first
  }

  close(): Promise<void> {
    return closeBare(this.#db)
  }
}
