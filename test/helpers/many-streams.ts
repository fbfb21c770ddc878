/** Batches that can be generated again, so that a test which kills a process can check each of them afterwards. */
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { encodeEvent } from './events.js'

/** The number of clients that append at the same time; client `c` sends the batches c, c + CLIENTS, … */
export const CLIENTS = 4
export const BATCH_EVENTS = 250
/** What one event changes in the index: the heads of its stream, its category and its type, and its id. */
export const CHANGES = 4

/** Returns a batch in which every event has a stream, a category, a type and an id of its own. */
export function manyStreams(round: number, batch: number): AppendAll {
  const events = Array.from({ length: BATCH_EVENTS }, (_, i) => {
    const name = `${hex(round, 4)}${hex(batch, 4)}`
    return encodeEvent(`c${name}${i}-1`, {
      type: `T${name}${i}`,
      id: `${name}-0000-4000-a000-${hex(i, 12)}`,
      data: { round, batch, i }
    })
  })
  return { events, conditions: [], kind: 'append' }
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
