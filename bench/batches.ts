/** Batches of 500 events a POST, against LevelDB alone writing as many records, each with a second key. */
import { batchBodies } from './support/events.js'
import { type Bare, closeBare, openBare, writeBatch } from './support/leveldb.js'
import { removeFolder, temporaryFolder } from './support/processes.js'
import type { Report } from './support/report.js'
import { inTurn } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import { type Rate, rateOf } from './support/usage.js'
import { sends, startWork, type Work } from './support/work.js'
import { writeScript } from './support/wrk.js'

export const BATCH = 500
const CONNECTIONS = 4
/** How batches are sent, so that their events are counted. */
export const BATCHES = { connections: CONNECTIONS, events: BATCH }

export function batchWork(): Work {
  const script = writeScript({ streams: 1000, bodies: batchBodies(8, BATCH) })
  return {
    what: `batches of ${BATCH}, ${CONNECTIONS} connections`,
    unit: 'events/s',
    client: sends(script, BATCHES)
  }
}

export async function benchBatches(report: Report, scale: Scale): Promise<void> {
  const { seconds } = scale
  const work = batchWork()
  const daybook = await startWork(work)
  const directory = temporaryFolder()
  const bare = new BareBatches(await openBare(directory))
  await bare.rate(1)
  const { ours, limit } = await inTurn(scale, {
    ours: () => daybook.load(seconds),
    limit: () => bare.rate(seconds)
  })
  await daybook.stop()
  await bare.close()
  removeFolder(directory)
  report.ratio('batches', {
    ...work,
    rates: ours,
    limit: { name: 'bare leveldown', rates: limit },
    wanted: 0.8,
    aim: 1.1
  })
}

/** Chained, synced batches: a record of 300 bytes under a rising key, and a small entry under the key of its stream. */
class BareBatches {
  readonly #db: Bare
  readonly #value = Buffer.from(batchBodies(1, 2)[0] as string).subarray(0, 300)
  readonly #second = Buffer.alloc(6)
  /** Reused for every record, because a batch copies its arguments. */
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

  /** Returns the number of events written. */
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
