/**
 * Appends under load until it is killed: `appender.ts DIRECTORY ROUND`. Prints a line for every acknowledged append, in
 * the order of acknowledgement. Meanwhile it deletes other streams, some permanently, and appends to them again.
 */
import { writeSync } from 'node:fs'
import { isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { Store } from '../../src/store/store.js'
import { encodeEvent } from '../helpers/events.js'
import { Random } from '../helpers/random.js'

const [, , directory, round] = process.argv as [string, string, string, string]
const random = new Random(Number(round))
const store = await new Store({ directory }).open()

async function client(name: number): Promise<void> {
  for (let i = 0; ; i++) {
    const stream = `s-${random.int(0, 40)}`
    const ids = random.chance(0.3)
    const events = Array.from({ length: random.chance(0.3) ? random.int(2, 60) : 1 }, (_, j) =>
      encodeEvent(random.chance(0.2) ? `r${round}-${name}-${i}-${j}` : stream, {
        ...(ids && { id: random.uuid() }),
        data: { round, name, i, j }
      })
    )
    const result = await store.writer.append({ events, conditions: [], kind: 'append' })
    const acknowledged = result.events.map(({ event, number, position, created }) => ({
      stream: event.stream,
      number,
      position,
      created,
      bytes: event.record.bytes.toString('base64')
    }))
    writeSync(1, `${JSON.stringify({ goodTo: store.postings.goodTo, events: acknowledged })}\n`)
  }
}

async function deleter(): Promise<void> {
  for (;;) {
    const stream = `deleted-${random.int(0, 400)}`
    try {
      if (random.chance(0.6)) {
        const events = [encodeEvent(stream, { tags: ['x'], metadata: { $correlationId: `c-${random.int(0, 9)}` } })]
        await store.writer.append({ events, conditions: [], kind: 'append' })
      } else await store.writer.delete({ kind: 'delete', stream, expected: 'any', permanent: random.chance(0.2) })
    } catch (error) {
      if (!isDaybookError(error)) throw error // otherwise the stream does not exist or was deleted permanently
    }
  }
}

if (limits.append_queue_max < 8) throw new Error('the append queue is shorter than the number of clients (8)')
await Promise.all([deleter(), ...Array.from({ length: 8 }, (_, name) => client(name))])
