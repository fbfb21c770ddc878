/** A page ends by bytes as well as by count, also the small page whose events are read at once. */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { Filter } from '../../src/reading/filter.js'
import type { Store } from '../../src/store/store.js'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { changeLimits } from '../helpers/still-standing.js'

const COUNT = 100
const PAGE_BYTES = 3000

/** A store with a stream of events of 1,000 bytes and a little, and pages of 3,000 bytes. */
async function openWithSmallPages(t: Test) {
  changeLimits(t, { page_bytes_max: PAGE_BYTES })
  const opened = await openApp(t)
  const events = Array.from({ length: COUNT }, () => encodeEvent('s', { data: 'x'.repeat(1000) }))
  await opened.store.writer.append({ events, conditions: [], kind: 'append' })
  return opened
}

/** Bytes of the events of one page. */
async function sizesOfPage(store: Store, order: 'asc' | 'desc', limit: number): Promise<number[]> {
  const filter = new Filter({ system: false })
  const bounds = { lower: undefined, upper: undefined, order }
  const read = { ...bounds, filter, resolveLinks: false, truncated: false, viewer: undefined }
  const source = await store.sources.of('s')
  const page = await store.reader.page(source, read, { first: 0, last: COUNT - 1 }, limit)
  return page.events.map(({ record }) => record.bytes.length)
}

for (const limit of [2, 20, 32, 33, 1000]) {
  for (const order of ['asc', 'desc'] as const) {
    t.test(
      `a page of at most ${limit} events, ${order}, ends with the event that brings it to its bytes`,
      async (t) => {
        const { app, store } = await openWithSmallPages(t)
        const sizes = await sizesOfPage(store, order, limit)
        const sum = sizes.reduce((bytes, size) => bytes + size, 0)
        t.ok(sizes.length === limit || sum >= limits.page_bytes_max, `${sizes.length} events of ${sum} bytes`)
        t.ok(sum - (sizes.at(-1) ?? 0) < limits.page_bytes_max, 'no event follows the one that fills the page')
        const numbers: number[] = []
        const start = order === 'asc' ? '' : '&order=desc'
        for (let url: string | undefined = `/streams/s?limit=${limit}${start}`; url !== undefined; ) {
          const { events, links }: { events: { number: number }[]; links: { next?: string } } = (
            await app.inject(url)
          ).json()
          numbers.push(...events.map(({ number }) => number))
          url = events.length === 0 ? undefined : links.next
        }
        const all = [...Array(COUNT).keys()]
        t.same(numbers, order === 'asc' ? all : all.reverse(), 'the next links lead to every event, once')
      }
    )
  }
}
