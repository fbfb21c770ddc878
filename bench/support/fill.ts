/** Fills a directory through the store itself, as appends over HTTP would. */
import type { Store as StoreType } from '../../src/store.js'
import type { NewEvent } from '../../src/streams/append.js'
import { event } from './events.js'

const { Store } = (await import('../../dist/src/store.js' as string)) as { Store: typeof StoreType }
const { encodeRecord } = (await import(
  '../../dist/src/log/format.js' as string
)) as typeof import('../../src/log/format.js')
const { randomIds } = (await import(
  '../../dist/routes/wire/event-body.js' as string
)) as typeof import('../../routes/wire/event-body.js')

export interface Filling {
  readonly events: number
  readonly streams: number
  readonly compression?: boolean
  /** Calls back with the open store when all is written; then it is closed. */
  readonly finally?: (store: StoreType) => Promise<void>
}

/** Events go to `streams` streams in turn, batches of 500, four at a time. */
export async function fill(
  directory: string,
  { events, streams, compression = false, finally: last }: Filling
): Promise<void> {
  const store = await new Store({ directory, compression }).open()
  let next = 0
  const feed = async () => {
    while (next < events) {
      const batch: NewEvent[] = []
      for (let i = 0; i < 500 && next < events; i++) batch.push(make(`bench-${next % streams}`, next++))
      await store.writer.append({ events: batch, conditions: [], mode: 'batch' })
    }
  }
  await Promise.all([feed(), feed(), feed(), feed()])
  await last?.(store)
  await store.close()
}

function make(stream: string, i: number): NewEvent {
  const { type, data } = event(i)
  const { id } = randomIds()
  const content = { id, clientId: false, type, data: Buffer.from(JSON.stringify(data)) }
  return { stream, id: undefined, type, record: encodeRecord(stream, content) }
}
