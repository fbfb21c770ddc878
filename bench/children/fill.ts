/**
 * Fills a directory through the store itself: `fill.js DIRECTORY JSON`, the JSON a `Content`. Prints how many seconds
 * it took. Events go to the streams in turn, batches of 500, four at a time.
 */
import { encodeRecord } from '../../src/log/format.js'
import { Store } from '../../src/store/store.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import { event } from '../support/events.js'
import type { Content } from '../support/stores.js'

const [, , directory, content] = process.argv as [string, string, string, string]
const { events, streams, tags, compression = false, killed = false } = JSON.parse(content) as Content

const store = await new Store({ directory, compression }).open()
const started = performance.now()
let next = 0
await Promise.all([feed(), feed(), feed(), feed()])
console.log((performance.now() - started) / 1000)
if (killed) process.kill(process.pid, 'SIGKILL')
await store.close()

async function feed(): Promise<void> {
  while (next < events) {
    const batch: NewEvent[] = []
    for (; batch.length < 500 && next < events; next++) batch.push(encode(`bench-${next % streams}`, next))
    await store.writer.append({ events: batch, conditions: [], kind: 'append' })
  }
}

function encode(stream: string, i: number): NewEvent {
  const { type, data } = event(i)
  const record = encodeRecord(stream, {
    clientId: false,
    type,
    tags: tags === undefined ? undefined : [`customer:${i % tags}`],
    data: Buffer.from(JSON.stringify(data))
  })
  return { stream, id: undefined, type, record }
}
