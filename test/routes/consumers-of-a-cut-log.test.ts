/**
 * Consumers whose cursor is beyond the end of a log that lost its end: no event is skipped, and the consumer reports
 * it.
 */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { checkpointKey, decodeCheckpoint, encodeCheckpoint, family } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { append, ask, openApp } from '../helpers/app.js'
import { cutDirectory } from '../helpers/cut.js'

const OPTIONS = { writeBufferSize: 65_536, cacheSize: 65_536, compression: false }
const SOURCES = ['/events', '/events?type=T', '/streams/cart-1', '/streams/$ce-cart', '/streams/$et-T'] as const

const manyEvents = (count: number) => Array.from({ length: count }, () => ({ type: 'T' }))
const getConsumer = async (app: FastifyInstance, name: string) => (await ask(app, `GET /consumers/${name}`)).json()
const define = (app: FastifyInstance, name: string, source: string) =>
  ask(app, `PUT /consumers/${name}`, {}, { source })

/** Reads and acknowledges all pending events of a consumer. @returns the positions of the events */
async function drain(app: FastifyInstance, name: string): Promise<number[]> {
  const { events, cursor, consumer } = (await ask(app, `GET /consumers/${name}/events?limit=4096`)).json()
  const { statusCode } = await ask(app, `POST /consumers/${name}/ack`, {}, { cursor, generation: consumer.generation })
  if (statusCode !== 200) throw new Error(`${name}: ${statusCode}`)
  return events.map(({ position }: { position: number }) => position)
}

/** Makes the log lose five of eight events of a stream. All consumers have acknowledged all eight. */
function cutLog(t: Parameters<typeof cutDirectory>[0], names: readonly string[] = SOURCES) {
  return cutDirectory(
    t,
    async ({ app }) => {
      for (const [i, source] of names.entries()) await define(app, `c${i}`, source)
      await append(app, 'cart-1', manyEvents(3))
      for (const i of names.keys()) await drain(app, `c${i}`)
    },
    async ({ app }) => {
      await append(app, 'cart-1', manyEvents(5))
      for (const i of names.keys()) await drain(app, `c${i}`)
    }
  )
}

t.test('a cursor beyond the end of a restored log is moved back, and no event is skipped', async (t) => {
  const { directory, log } = await cutLog(t)
  const { app, store } = await openApp(t, { directory })
  const upTo = store.log.head
  t.same(store.log.ancestors, [{ log, upTo }], 'the log has a new identity')
  const before = new Map<string, { cursor: string; generation: number }>()
  for (const [i, source] of SOURCES.entries()) {
    const consumer = await getConsumer(app, `c${i}`)
    before.set(source, consumer)
    const isLog = source.startsWith('/events')
    const from = isLog ? upTo + 5 : 7
    const to = isLog ? upTo : 2
    t.match(
      consumer,
      { cursor: String(to), moved: { from: String(from), to: String(to), reason: /lost its end/ } },
      source
    )
    t.match(store.notices.join('\n'), `"c${i}" continues after ${to} instead of ${from}`)
  }
  // More events than were lost, so that positions and numbers pass the old cursors.
  const added = (await append(app, 'cart-1', manyEvents(9))).json().events as { position: number }[]
  for (const [i, source] of SOURCES.entries()) {
    t.same(
      await drain(app, `c${i}`),
      added.map(({ position }) => position),
      `${source}: all new events come`
    )
  }
})

t.test('an acknowledgement of lost events does not move the cursor of the consumer in the remaining log', async (t) => {
  const { directory } = await cutLog(t)
  const { app } = await openApp(t, { directory })
  await append(app, 'cart-1', manyEvents(9))
  for (const [i, source] of SOURCES.entries()) {
    const { statusCode, body } = await ask(app, `POST /consumers/c${i}/ack`, {}, { cursor: '7', generation: 0 })
    t.match({ statusCode, ...JSON.parse(body) }, { statusCode: 409, code: 'stale-generation' }, source)
  }
})

t.test('a cursor within the rest of the log stays, under a new generation', async (t) => {
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      await append(app, 's', manyEvents(6))
      await define(app, 'log', '/events')
      await define(app, 'stream', '/streams/s')
    },
    async ({ app }) => {
      for (const name of ['log', 'stream']) {
        await ask(app, `GET /consumers/${name}/events`)
        await ask(app, `POST /consumers/${name}/ack`, {}, { cursor: '4', generation: 0 })
      }
      await append(app, 's', manyEvents(5))
      await drain(app, 'log')
      await define(app, 'later', '/streams/s') // its checkpoint records the head of the log
    }
  )
  const { app, store } = await openApp(t, { directory })
  t.match(await getConsumer(app, 'stream'), { cursor: '4', generation: 1, moved: undefined })
  t.match(await getConsumer(app, 'log'), { cursor: String(store.log.head), moved: { to: String(store.log.head) } })
  t.match(store.notices, [/new identity/, /"log"/])
})

t.test('a consumer reports that its cursor was moved back until it is reset, also after a restart', async (t) => {
  const { directory } = await cutLog(t, ['/streams/cart-1'])
  const first = await openApp(t, { directory })
  const { moved, generation } = await getConsumer(first.app, 'c0')
  await drain(first.app, 'c0')
  await first.app.close()
  const { app, store } = await openApp(t, { directory })
  t.match(await getConsumer(app, 'c0'), { moved, generation })
  t.same(store.notices, [], 'the next start reports nothing')
  await ask(app, 'GET /consumers/c0/events?takeover=true')
  t.match(await getConsumer(app, 'c0'), { moved, generation: generation + 1 })
  await ask(app, 'POST /consumers/c0/reset', {}, { to: 'start' })
  t.equal((await getConsumer(app, 'c0')).moved, undefined)
})

t.test(
  'a consumer that is defined again after its definition was lost begins where the new definition says',
  async (t) => {
    const { directory } = await cutDirectory(
      t,
      ({ app }) => append(app, 's', manyEvents(3)),
      async ({ app }) => {
        await define(app, 'c', '/streams/s')
        await append(app, 's', manyEvents(5))
        await drain(app, 'c')
      }
    )
    const { app } = await openApp(t, { directory })
    await append(app, 's', manyEvents(9))
    t.equal((await ask(app, 'GET /consumers/c')).statusCode, 404)
    t.equal((await define(app, 'c', '/streams/s')).statusCode, 201)
    t.match(
      await getConsumer(app, 'c'),
      { cursor: '-1', generation: 1, moved: undefined },
      'acknowledgements of its earlier readers are refused'
    )
    t.equal((await drain(app, 'c')).length, 12)
  }
)

t.test('the cursor of a lost later definition is not used for the earlier definition', async (t) => {
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      await append(app, 's', manyEvents(3))
      await append(app, 'other', manyEvents(3))
      await define(app, 'c', '/streams/other')
    },
    async ({ app }) => {
      await ask(app, 'DELETE /consumers/c')
      await define(app, 'c', '/streams/s')
      await drain(app, 'c')
    }
  )
  const { app } = await openApp(t, { directory })
  t.match(await getConsumer(app, 'c'), {
    source: '/streams/other',
    cursor: '-1',
    moved: { from: '2', reason: /later definition/ }
  })
  t.equal((await drain(app, 'c')).length, 3)
})

t.test(
  'in a stream that hides events or was deleted, a cursor is moved back to its last number, hidden or not',
  async (t) => {
    const { directory } = await cutDirectory(
      t,
      async ({ app }) => {
        for (const stream of ['hidden', 'deleted', 'gone']) {
          await append(app, stream, manyEvents(4))
          await define(app, stream, `/streams/${stream}`)
        }
        await ask(app, 'PUT /streams/hidden/metadata', {}, { maxCount: 1 })
        await ask(app, 'DELETE /streams/deleted')
        await ask(app, 'DELETE /streams/gone?permanent=true')
      },
      async ({ app }) => {
        await append(app, 'hidden', manyEvents(4))
        await append(app, 'deleted', manyEvents(4))
        for (const name of ['hidden', 'deleted']) await drain(app, name)
      }
    )
    const { app } = await openApp(t, { directory })
    for (const name of ['hidden', 'deleted'])
      t.match(await getConsumer(app, name), { cursor: '3', moved: { from: '7' } }, name)
    t.match(await getConsumer(app, 'gone'), { cursor: '-1', standsStill: /deleted permanently/ })
  }
)

t.test('a cursor is moved back even if the log has grown past it since it lost its end', async (t) => {
  const sources = [...SOURCES, '/streams/deleted']
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      for (const [i, source] of sources.entries()) await define(app, `c${i}`, source)
      for (const stream of ['cart-1', 'deleted']) await append(app, stream, manyEvents(3))
    },
    async ({ app }) => {
      for (const stream of ['cart-1', 'deleted']) await append(app, stream, manyEvents(5))
      for (const i of sources.keys()) await drain(app, `c${i}`)
    }
  )
  // Keeps the checkpoints as they are before the first start: a crash may come before a moved cursor is saved.
  const kept = `${directory}-checkpoints`
  cpSync(join(directory, 'checkpoints'), kept, { recursive: true })
  const first = await openApp(t, { directory })
  const upTo = first.store.log.head
  for (const stream of ['cart-1', 'deleted']) await append(first.app, stream, manyEvents(9))
  await ask(first.app, 'DELETE /streams/deleted')
  await first.app.close()
  rmSync(join(directory, 'checkpoints'), { recursive: true })
  cpSync(kept, join(directory, 'checkpoints'), { recursive: true })
  const { app } = await openApp(t, { directory })
  const places = { '/events': upTo, '/events?type=T': upTo, '/streams/$et-T': 5 } as Record<string, number>
  for (const [i, source] of sources.entries()) {
    t.match(await getConsumer(app, `c${i}`), { cursor: String(places[source] ?? 2) }, source)
  }
})

t.test('a format 1 cursor beyond the end of its stream is moved back too', async (t) => {
  const { directory } = await cutLog(t, ['/streams/cart-1'])
  await rewriteCheckpoint(directory, ({ head: _, defined: __, ...old }) => ({ ...old, cursor: 3 }))
  const { app, store } = await openApp(t, { directory })
  t.same(store.log.ancestors, [], 'the log cannot detect the loss: it still holds that many events')
  t.match(await getConsumer(app, 'c0'), { cursor: '2', moved: { from: '3', reason: /its source ends at 2/ } })
})

t.test('an index stream that is being rebuilt does not move a cursor back', async (t) => {
  const directory = t.testdir({})
  const before = await openApp(t, { directory })
  await append(before.app, 'cart-1', manyEvents(8))
  await define(before.app, 'c', '/streams/$ce-cart')
  await drain(before.app, 'c')
  await before.app.close()
  // With another category rule the server rebuilds the category lists while it serves.
  const { app, store } = await openApp(t, { directory, categoryRule: { at: 'last', separator: '-' } })
  t.match(await getConsumer(app, 'c'), { cursor: '7', generation: 0, moved: undefined })
  await store.filled
  t.ok(store.postings.isCurrent(family.category))
})

/** Rewrites the only checkpoint of a directory in format 1, where its key is the plain name. */
async function rewriteCheckpoint(directory: string, change: (old: Record<string, unknown>) => object): Promise<void> {
  const level = await Level.open(`${directory}/checkpoints`, OPTIONS)
  const key = checkpointKey('consumer', 'c0')
  const stored = decodeCheckpoint(key, (await level.get(key)) as Buffer)
  const batch = level.batch()
  const name = Buffer.from('c0')
  batch.del(key)
  batch.put(name, encodeCheckpoint(name, change({ ...stored }) as never))
  await level.writeSynced(batch)
  await level.close()
}
