/** Large events do not exhaust the memory: every read limits its steps in bytes and reserves memory from the budget. */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { Level } from '../../src/log/level.js'
import { READ_BYTES } from '../../src/log/records/read-ahead.js'
import type { Store } from '../../src/store/store.js'
import { append, openApp } from '../helpers/app.js'

const ATOM = { accept: 'application/vnd.eventstore.atom+json' }
const LARGE_BYTES = 2 * 1024 * 1024
const LARGE_COUNT = 12
const SMALL_COUNT = 200

/** Records the bytes of each LevelDB read of records from now on, until the test ends. */
function watchReads(t: Test): { values: number; bytes: number }[] {
  const reads: { values: number; bytes: number }[] = []
  const { getMany } = Level.prototype
  Level.prototype.getMany = async function (keys) {
    const values = await getMany.call(this, keys)
    const bytes = values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
    reads.push({ values: values.length, bytes })
    return values
  }
  t.teardown(() => {
    Level.prototype.getMany = getMany
  })
  return reads
}

/** Opens a store with large events among small ones. It was reopened, so no record is in memory. */
async function openLarge(t: Test, compression = false): Promise<{ app: FastifyInstance; store: Store }> {
  const directory = t.testdir({})
  const first = await openApp(t, { directory, compression })
  const data = 'x'.repeat(LARGE_BYTES)
  for (let i = 0; i < LARGE_COUNT; i++) {
    const small = Array.from({ length: SMALL_COUNT / LARGE_COUNT }, () => ({ type: 'Small', data: i }))
    await append(first.app, 'mixed', small)
    await append(first.app, 'mixed', { type: 'Large', data })
    await append(first.app, 'large', { type: 'Large', data })
  }
  await first.app.close()
  const { app, store } = await openApp(t, { directory, compression })
  return { app, store }
}

for (const compression of [false, true]) {
  t.test(
    `no read requests more than ${READ_BYTES} bytes from LevelDB at once, compression ${compression}`,
    async (t) => {
      const { app, store } = await openLarge(t, compression)
      const reads = watchReads(t)
      const urls = [
        '/streams/large?limit=100',
        '/streams/large?limit=4&order=desc&from=end',
        '/streams/mixed?limit=4096',
        '/events?limit=4096',
        '/events?type.regex=Nothing',
        '/events?type=Large&limit=50',
        '/events?format=ndjson&limit=1',
        '/events?format=ndjson&system=true'
      ]
      for (const url of urls) {
        const { statusCode } = await app.inject({ url })
        t.equal(statusCode, 200, url)
        for (const { values, bytes } of reads.splice(0)) {
          if (bytes > READ_BYTES && values > 1) t.fail(`${url} read ${values} records of ${bytes} bytes at once`)
        }
      }
      t.equal(store.memory.used, 0, 'all memory is released')
    }
  )
}

t.test('a read of one event reads no other large event', async (t) => {
  const { app } = await openLarge(t)
  const reads = watchReads(t)
  for (const url of [
    '/streams/large?from=3&limit=1',
    '/streams/large?format=ndjson&from=3&limit=1',
    '/streams/large/3'
  ]) {
    const { statusCode } = await app.inject({ url })
    t.equal(statusCode, 200, url)
    const large = reads.splice(0).filter(({ bytes }) => bytes > LARGE_BYTES)
    t.equal(large.length, 1, `${url} reads one large event`)
  }
})

t.test('a page of either form ends at its maximum size, and paging continues after it', async (t) => {
  const { app } = await openLarge(t)
  const native: number[] = []
  let url: string | undefined = '/streams/large?limit=100'
  while (url !== undefined) {
    const { body } = await app.inject({ url })
    t.ok(body.length < limits.page_bytes_max + 2 * LARGE_BYTES, `a page of ${body.length} bytes`)
    const { events, links } = JSON.parse(body)
    native.push(...events.map(({ number }: { number: number }) => number))
    url = events.length === 0 ? undefined : links.next
  }
  t.same(native, [...Array(LARGE_COUNT).keys()], 'the native pages contain every event once')
  for (const [direction, relation, start] of [
    ['backward', 'next', '/streams/large'],
    ['forward', 'previous', '/streams/large/0/forward/20'],
    ['backward', 'next', '/streams/$all'],
    ['forward', 'previous', `/streams/$all/${'0'.repeat(32)}/forward/4096`]
  ] as const) {
    const found: string[] = []
    for (let at: string | undefined = `${start}?embed=body`; at !== undefined; ) {
      const { body, statusCode } = await app.inject({ url: at, headers: ATOM })
      if (statusCode !== 200) throw new Error(`${at}: ${statusCode} ${body}`)
      t.ok(body.length < limits.page_bytes_max + 3 * LARGE_BYTES, `a page of ${body.length} bytes`)
      const { entries, links } = JSON.parse(body)
      const titles = entries
        .filter(({ streamId }: { streamId: string }) => streamId === 'large')
        .map(({ title }: { title: string }) => title)
      found.push(...(direction === 'forward' ? titles.reverse() : titles))
      const link = links.find((one: { relation: string }) => one.relation === relation)?.uri
      at = entries.length === 0 || link === undefined ? undefined : `${link.replace(/^http:\/\/[^/]+/, '')}?embed=body`
    }
    const all = [...Array(LARGE_COUNT).keys()].map((number) => `${number}@large`)
    t.same(found, direction === 'forward' ? all : all.reverse(), `${start} ${direction} contains every event once`)
  }
})

t.test('pages of links to large events have the same maximum size', async (t) => {
  const { app, store } = await openLarge(t)
  const link = { type: '$>', data: '3@large' }
  const headers = { 'content-type': 'application/vnd.eventstore.events+json' }
  const events = Array.from({ length: 50 }, (_, i) => ({
    eventId: `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
    eventType: link.type,
    data: link.data
  }))
  const appended = await append(app, 'links', JSON.stringify(events), headers)
  t.equal(appended.statusCode, 201, appended.body)
  let most = 0
  const { reads, largeReads } = store.memory
  const take = largeReads.tryTake.bind(largeReads)
  largeReads.tryTake = (bytes) => {
    const hold = take(bytes)
    most = Math.max(most, reads.used + largeReads.used)
    return hold
  }
  const native = await app.inject({ url: '/streams/links?limit=50' })
  t.ok(native.body.length < limits.page_bytes_max + 2 * LARGE_BYTES, `a page of ${native.body.length} bytes`)
  t.ok(most >= limits.large_read_bytes, 'the page reserves the memory of a large read')
  const atom = await app.inject({ url: '/streams/links/0/forward/50?embed=body', headers: ATOM })
  t.ok(atom.body.length < limits.page_bytes_max + 2 * LARGE_BYTES, `a feed of ${atom.body.length} bytes`)
  t.equal(store.memory.used, 0)
})

t.test('readers of large cached events let other work run between turns', async (t) => {
  const { app, store } = await openApp(t)
  await append(app, 'large', { type: 'Large', data: 'x'.repeat(LARGE_BYTES) })
  let turns = 0
  let open = true
  const count = () => {
    turns++
    if (open) setImmediate(count)
  }
  setImmediate(count)
  const readers = Array.from({ length: 20 }, async () => {
    let read = 0
    for await (const records of store.log.readAhead([[0], [0], [0]])) read += records.length
    return read
  })
  t.same(await Promise.all(readers), Array(20).fill(3), 'each reader reads three events')
  open = false
  t.ok(turns >= 50, `${turns} turns of the event loop while ${readers.length} readers read three events each`)
})
