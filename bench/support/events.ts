/** Events of a usual size: JSON of about 300 bytes that compresses as real data does. */
import { randomUUID } from 'node:crypto'

const TYPES = ['ItemAdded', 'ItemRemoved', 'CheckedOut', 'AddressChanged']
const SKUS = ['A-1', 'B-22', 'C-333', 'D-4444']
const NOTES = ['left at the door, thank you', 'ring twice', 'wrapped as a present, no receipt inside', 'call first']

/** An event as a client sends it. */
export function event(i: number): { type: string; data: object } {
  return {
    type: TYPES[i % 4] as string,
    data: {
      order: randomUUID(),
      customer: { id: (i * 7919) % 100_000, name: `customer-${(i * 7919) % 100_000}` },
      sku: SKUS[(i % 7) % 4],
      quantity: (i % 9) + 1,
      price: { amount: ((i * 31) % 10_000) / 100, currency: 'EUR' },
      note: NOTES[(i % 5) % 4],
      traceId: randomUUID().replaceAll('-', ''),
      at: new Date(1.7e12 + i * 1000).toISOString()
    }
  }
}

/** Bodies of requests, each a JSON event. */
export function singleBodies(count: number): string[] {
  return Array.from({ length: count }, (_, i) => JSON.stringify(event(i)))
}

/** Bodies of requests, each a JSON array of `size` events. */
export function batchBodies(count: number, size: number): string[] {
  return Array.from({ length: count }, (_, n) =>
    JSON.stringify(Array.from({ length: size }, (_, i) => event(n * size + i)))
  )
}
