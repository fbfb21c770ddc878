/** Events for live readers: stand-ins for code without I/O, and a real store to append to. */
import type { Test } from 'tap'
import type { ReadResult, Span } from '../../src/reading/event-read.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { encodeEvent, type Plain } from './events.js'

export interface Light {
  readonly bytes?: number
  readonly created?: number
}

/** A stand-in for an event, with only its cursor, its size and its time. */
export function lightEvent(cursor: number, { bytes = 100, created = 0 }: Light = {}): ReadResult {
  return { cursor, record: { bytes: { length: bytes }, created } } as unknown as ReadResult
}

export function lightSpan(from: number, to: number, cursors: readonly number[], light: Light = {}): Span {
  return { from, to, events: cursors.map((cursor) => lightEvent(cursor, light)) }
}

export async function openStore(t: Test, options: Partial<StoreOptions> = {}): Promise<Store> {
  const store = await new Store({ directory: t.testdir({}), ...options }).open()
  t.teardown(() => store.close())
  return store
}

/** Appends events in one commit. */
export async function appendTo(store: Store, stream: string, ...events: Plain[]): Promise<void> {
  await store.writer.append({
    events: events.map((event) => encodeEvent(stream, event)),
    conditions: [],
    kind: 'append'
  })
}

export function many(count: number, event: Plain = {}): Plain[] {
  return Array.from({ length: count }, () => event)
}

/** Waits for a condition. Rejects after 30 s, long before the test runner gives up. */
export async function eventually(what: string, condition: () => boolean): Promise<void> {
  const end = Date.now() + 30_000
  for (let looks = 0; !condition(); looks++) {
    if (Date.now() > end) throw new Error(`30 s have passed without this: ${what}`)
    // The process that it waits for may need the processor.
    await (looks < 100 ? turn() : new Promise((resolve) => setTimeout(resolve, 5)))
  }
}

/** Resolves after one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}
