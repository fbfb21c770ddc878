/** Events of a usual size: records of about 300 bytes, JSON that compresses as real data does. */
import { randomUUID } from 'node:crypto'

const SKUS = ['A-1', 'B-22', 'C-333', 'D-4444']

/** An event as a client sends it. */
export function event(i: number): { type: string; data: object } {
  return {
    type: ['ItemAdded', 'ItemRemoved', 'CheckedOut', 'AddressChanged'][i % 4] as string,
    data: {
      order: randomUUID(),
      customer: `customer-${(i * 7919) % 100_000}`,
      sku: SKUS[(i % 7) % 4],
      quantity: (i % 9) + 1,
      price: { amount: ((i * 31) % 10_000) / 100, currency: 'EUR' },
      note: 'left at the door, thank you',
      at: new Date(1.7e12 + i * 1000).toISOString()
    }
  }
}

/** A Lua string of any text. */
export function lua(text: string): string {
  return `[==[${text}]==]`
}

/** Lua that lists paths /streams/NAME for `streams` names. */
export function streamPaths(streams: number, suffix = ''): string {
  return `paths = {} for i = 1, ${streams} do paths[i] = "/streams/bench-" .. (i - 1) .. "${suffix}" end`
}
