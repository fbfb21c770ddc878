/** The stores of hostile loads: each is filled once per run through a server, and copied for each load. */
import { randomBytes, randomUUID } from 'node:crypto'
import { cpSync } from 'node:fs'
import { appendAll } from '../support/http.js'
import { temporaryFolder } from '../support/processes.js'
import { startDaybook } from '../support/servers.js'

/** Events in the stream `small`: the probe reads one after the other, so that most reads are not cached ones. */
export const SMALL_EVENTS = 2000
/**
 * Events in the stream `big`. They are the first of the log: a start reads the last ones, which would count as idle
 * memory.
 */
export const LARGE_EVENTS = 100
/** Bytes of data of a large event: the maximum size of an event. */
export const LARGE_BYTES = 4 * 1024 * 1024
/** Streams `cart-<uuid>` of one event each. */
const NAMES = 17_000
const BATCH = 500

/**
 * Every store holds the stream `small`; `large` holds large events in the stream `big` as well, `names` many streams of
 * one event.
 */
export type ContentName = 'small' | 'large' | 'names'

/** JSON text that has `bytes` bytes and does not compress. */
export function largeText(bytes: number): string {
  return `"${randomBytes(Math.ceil(bytes / 4) * 3)
    .toString('base64')
    .slice(0, bytes - 2)}"`
}

const filled = new Map<ContentName, Promise<string>>()

/** Returns the directory of a new copy of a store. */
export async function copiedHostileStore(content: ContentName): Promise<string> {
  const filling = filled.get(content) ?? fill(content)
  filled.set(content, filling)
  const copy = temporaryFolder()
  cpSync(await filling, copy, { recursive: true })
  return copy
}

async function fill(content: ContentName): Promise<string> {
  const directory = temporaryFolder()
  const { url, stop } = await startDaybook(directory)
  if (content === 'large') await appendAll(`${url}/streams/big`, largeBodies())
  if (content === 'names') await appendAll(`${url}/events`, batches(NAMES, namedEvent))
  await appendAll(`${url}/events`, batches(SMALL_EVENTS, smallEvent))
  await stop()
  return directory
}

function smallEvent(i: number): object {
  return { stream: 'small', type: 'Small', data: { i } }
}

function namedEvent(): object {
  return { stream: `cart-${randomUUID()}`, type: 'Opened' }
}

/** Returns bodies of `POST /events` that append a number of events. */
function* batches(events: number, make: (i: number) => object): Generator<string> {
  for (let first = 0; first < events; first += BATCH) {
    const some = Array.from({ length: Math.min(BATCH, events - first) }, (_, i) => make(first + i))
    yield JSON.stringify({ events: some })
  }
}

function* largeBodies(): Generator<string> {
  const data = largeText(LARGE_BYTES)
  for (let i = 0; i < LARGE_EVENTS; i++) yield `{"type":"Big","data":${data}}`
}
