/** Rendered answers of both forms share one cache: together they take no more memory than its limit. */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { usualCacheSizes } from '../../src/memory/cache-sizes.js'
import type { Store } from '../../src/store/store.js'
import { append, openApp } from '../helpers/app.js'

const ATOM = 'application/vnd.eventstore.atom+json'
const EVENT_BYTES = 900_000
/** The number of events whose rendered answers do not fit into the cache together. */
const COUNT = Math.ceil(usualCacheSizes.renderedPages / EVENT_BYTES) + 1

/** An address of one event, and the reader method that is called only if the answer is not cached. */
interface Form {
  readonly url: (number: number) => string
  readonly accept: string
  readonly read: 'page' | 'slice' | 'event'
}

const nativePage: Form = { url: (number) => `/streams/s?from=${number}&limit=1`, accept: '*/*', read: 'page' }
const atomPage: Form = { url: (number) => `/streams/s/${number}/forward/1?embed=body`, accept: ATOM, read: 'slice' }
const nativeEvent: Form = { url: (number) => `/streams/s/${number}`, accept: '*/*', read: 'event' }
const atomEvent: Form = { url: (number) => `/streams/s/${number}`, accept: ATOM, read: 'event' }

for (const [what, kept, others] of [
  ['native pages are evicted for pages of EventStoreDB', nativePage, atomPage],
  ['pages of EventStoreDB are evicted for native pages', atomPage, nativePage],
  ['native events are evicted for events of EventStoreDB', nativeEvent, atomEvent],
  ['events of EventStoreDB are evicted for native events', atomEvent, nativeEvent]
] as const) {
  t.test(what, async (t) => {
    const { app, store } = await openApp(t)
    const data = 'x'.repeat(EVENT_BYTES)
    for (let i = 0; i < COUNT; i++) t.equal((await append(app, 's', { type: 'T', data })).statusCode, 201)
    const asksKept = countReads(t, app, store, kept)
    const asksOthers = countReads(t, app, store, others)
    await asksKept(0)
    await asksKept(0)
    t.equal(await asksKept(0), 0, 'the answer is cached')
    for (let i = 0; i < COUNT; i++) {
      await asksOthers(i)
      await asksOthers(i)
    }
    t.equal(await asksOthers(COUNT - 1), 0, 'the answer that was requested last is cached')
    t.equal(await asksKept(0), 1, 'the first answer was evicted')
  })
}

/** @returns a function that requests an event and returns how many times it was read for the answer */
function countReads(t: Test, app: FastifyInstance, store: Store, { url, accept, read }: Form) {
  let reads = 0
  const { reader } = store
  const original = reader[read] as (...args: unknown[]) => never
  Object.assign(reader, {
    [read]: (...args: unknown[]) => {
      reads++
      return original.apply(reader, args)
    }
  })
  return async (number: number): Promise<number> => {
    reads = 0
    const { statusCode, body } = await app.inject({ url: url(number), headers: { accept } })
    t.equal(statusCode, 200, url(number))
    t.ok(body.length > EVENT_BYTES || accept === ATOM, 'the event is in the answer')
    return reads
  }
}
