/** Consumers whose place the log has not reached, since it lost its end: nothing is skipped, and they say so. */
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

const several = (count: number) => Array.from({ length: count }, () => ({ type: 'T' }))
const shown = async (app: FastifyInstance, name: string) => (await ask(app, `GET /consumers/${name}`)).json()
const made = (app: FastifyInstance, name: string, source: string) => ask(app, `PUT /consumers/${name}`, {}, { source })

/** Deals with everything that there is for a consumer. @returns the cursors, and the positions of the events */
async function dealtWith(app: FastifyInstance, name: string): Promise<number[]> {
  const { events, cursor, consumer } = (await ask(app, `GET /consumers/${name}/events?limit=4096`)).json()
  const { statusCode } = await ask(app, `POST /consumers/${name}/ack`, {}, { cursor, generation: consumer.generation })
  if (statusCode !== 200) throw new Error(`${name}: ${statusCode}`)
  return events.map(({ position }: { position: number }) => position)
}

/** The log loses five of eight events of a stream, which every consumer has dealt with. */
function cut(t: Parameters<typeof cutDirectory>[0], names: readonly string[] = SOURCES) {
  return cutDirectory(
    t,
    async ({ app }) => {
      for (const [i, source] of names.entries()) await made(app, `c${i}`, source)
      await append(app, 'cart-1', several(3))
      for (const i of names.keys()) await dealtWith(app, `c${i}`)
    },
    async ({ app }) => {
      await append(app, 'cart-1', several(5))
      for (const i of names.keys()) await dealtWith(app, `c${i}`)
    }
  )
}

t.test('a place beyond the end of a restored log is put back, and nothing is skipped', async (t) => {
  const { directory, log } = await cut(t)
  const { app, store } = await openApp(t, { directory })
  const upTo = store.log.head
  t.same(store.log.ancestors, [{ log, upTo }], 'the log is another one')
  const before = new Map<string, { cursor: string; generation: number }>()
  for (const [i, source] of SOURCES.entries()) {
    const consumer = await shown(app, `c${i}`)
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
  // More than were lost: their positions and numbers pass the old places.
  const added = (await append(app, 'cart-1', several(9))).json().events as { position: number }[]
  for (const [i, source] of SOURCES.entries()) {
    t.same(
      await dealtWith(app, `c${i}`),
      added.map(({ position }) => position),
      `${source}: all of them come`
    )
  }
})

t.test('an acknowledgement of events that were lost moves nothing in the log that goes on', async (t) => {
  const { directory } = await cut(t)
  const { app } = await openApp(t, { directory })
  await append(app, 'cart-1', several(9))
  for (const [i, source] of SOURCES.entries()) {
    const { statusCode, body } = await ask(app, `POST /consumers/c${i}/ack`, {}, { cursor: '7', generation: 0 })
    t.match({ statusCode, ...JSON.parse(body) }, { statusCode: 409, code: 'stale-generation' }, source)
  }
})

t.test('a place within what the log kept stays, under a new generation', async (t) => {
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      await append(app, 's', several(6))
      await made(app, 'log', '/events')
      await made(app, 'stream', '/streams/s')
    },
    async ({ app }) => {
      for (const name of ['log', 'stream']) {
        await ask(app, `GET /consumers/${name}/events`)
        await ask(app, `POST /consumers/${name}/ack`, {}, { cursor: '4', generation: 0 })
      }
      await append(app, 's', several(5))
      await dealtWith(app, 'log')
      await made(app, 'later', '/streams/s') // knows how far the log was
    }
  )
  const { app, store } = await openApp(t, { directory })
  t.match(await shown(app, 'stream'), { cursor: '4', generation: 1, moved: undefined })
  t.match(await shown(app, 'log'), { cursor: String(store.log.head), moved: { to: String(store.log.head) } })
  t.match(store.notices, [/new identity/, /"log"/])
})

t.test('a consumer shows that its place was put back until it is reset, also after a restart', async (t) => {
  const { directory } = await cut(t, ['/streams/cart-1'])
  const first = await openApp(t, { directory })
  const { moved, generation } = await shown(first.app, 'c0')
  await dealtWith(first.app, 'c0')
  await first.app.close()
  const { app, store } = await openApp(t, { directory })
  t.match(await shown(app, 'c0'), { moved, generation })
  t.same(store.notices, [], 'the start says nothing of it any more')
  await ask(app, 'GET /consumers/c0/events?takeover=true')
  t.match(await shown(app, 'c0'), { moved, generation: generation + 1 })
  await ask(app, 'POST /consumers/c0/reset', {}, { to: 'start' })
  t.equal((await shown(app, 'c0')).moved, undefined)
})

t.test('a consumer that is made anew after its definition was lost begins where that says', async (t) => {
  const { directory } = await cutDirectory(
    t,
    ({ app }) => append(app, 's', several(3)),
    async ({ app }) => {
      await made(app, 'c', '/streams/s')
      await append(app, 's', several(5))
      await dealtWith(app, 'c')
    }
  )
  const { app } = await openApp(t, { directory })
  await append(app, 's', several(9))
  t.equal((await ask(app, 'GET /consumers/c')).statusCode, 404)
  t.equal((await made(app, 'c', '/streams/s')).statusCode, 201)
  t.match(
    await shown(app, 'c'),
    { cursor: '-1', generation: 1, moved: undefined },
    'its readers of that time move nothing'
  )
  t.equal((await dealtWith(app, 'c')).length, 12)
})

t.test('a place of a later definition, which was lost, is not taken for one of the definition before', async (t) => {
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      await append(app, 's', several(3))
      await append(app, 'other', several(3))
      await made(app, 'c', '/streams/other')
    },
    async ({ app }) => {
      await ask(app, 'DELETE /consumers/c')
      await made(app, 'c', '/streams/s')
      await dealtWith(app, 'c')
    }
  )
  const { app } = await openApp(t, { directory })
  t.match(await shown(app, 'c'), {
    source: '/streams/other',
    cursor: '-1',
    moved: { from: '2', reason: /later definition/ }
  })
  t.equal((await dealtWith(app, 'c')).length, 3)
})

t.test('streams that hide events or were deleted count all that they had', async (t) => {
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      for (const stream of ['hidden', 'deleted', 'gone']) {
        await append(app, stream, several(4))
        await made(app, stream, `/streams/${stream}`)
      }
      await ask(app, 'PUT /streams/hidden/metadata', {}, { maxCount: 1 })
      await ask(app, 'DELETE /streams/deleted')
      await ask(app, 'DELETE /streams/gone?permanent=true')
    },
    async ({ app }) => {
      await append(app, 'hidden', several(4))
      await append(app, 'deleted', several(4))
      for (const name of ['hidden', 'deleted']) await dealtWith(app, name)
    }
  )
  const { app } = await openApp(t, { directory })
  for (const name of ['hidden', 'deleted']) t.match(await shown(app, name), { cursor: '3', moved: { from: '7' } }, name)
  t.match(await shown(app, 'gone'), { cursor: '-1', standsStill: /deleted for ever/ })
})

t.test('a place is put back also when the log has gone on since it lost its end', async (t) => {
  const sources = [...SOURCES, '/streams/deleted']
  const { directory } = await cutDirectory(
    t,
    async ({ app }) => {
      for (const [i, source] of sources.entries()) await made(app, `c${i}`, source)
      for (const stream of ['cart-1', 'deleted']) await append(app, stream, several(3))
    },
    async ({ app }) => {
      for (const stream of ['cart-1', 'deleted']) await append(app, stream, several(5))
      for (const i of sources.keys()) await dealtWith(app, `c${i}`)
    }
  )
  // As after a crash before the first of them was saved.
  const kept = `${directory}-checkpoints`
  cpSync(join(directory, 'checkpoints'), kept, { recursive: true })
  const first = await openApp(t, { directory })
  const upTo = first.store.log.head
  for (const stream of ['cart-1', 'deleted']) await append(first.app, stream, several(9))
  await ask(first.app, 'DELETE /streams/deleted')
  await first.app.close()
  rmSync(join(directory, 'checkpoints'), { recursive: true })
  cpSync(kept, join(directory, 'checkpoints'), { recursive: true })
  const { app } = await openApp(t, { directory })
  const places = { '/events': upTo, '/events?type=T': upTo, '/streams/$et-T': 5 } as Record<string, number>
  for (const [i, source] of sources.entries()) {
    t.match(await shown(app, `c${i}`), { cursor: String(places[source] ?? 2) }, source)
  }
})

t.test('a place of format 1 that its stream has not reached is put back, too', async (t) => {
  const { directory } = await cut(t, ['/streams/cart-1'])
  await rewritten(directory, ({ head: _, defined: __, ...old }) => ({ ...old, cursor: 3 }))
  const { app, store } = await openApp(t, { directory })
  t.same(store.log.ancestors, [], 'the log holds that many events, so it cannot know')
  t.match(await shown(app, 'c0'), { cursor: '2', moved: { from: '3', reason: /its source ends at 2/ } })
})

t.test('an index stream that is only being filled has lost nothing', async (t) => {
  const directory = t.testdir({})
  const before = await openApp(t, { directory })
  await append(before.app, 'cart-1', several(8))
  await made(before.app, 'c', '/streams/$ce-cart')
  await dealtWith(before.app, 'c')
  await before.app.close()
  // With another rule the lists of categories are made anew while the server serves.
  const { app, store } = await openApp(t, { directory, categoryRule: { at: 'last', separator: '-' } })
  t.match(await shown(app, 'c'), { cursor: '7', generation: 0, moved: undefined })
  await store.filled
  t.ok(store.postings.isCurrent(family.category))
})

/** Changes the one checkpoint of a directory. */
async function rewritten(directory: string, change: (old: Record<string, unknown>) => object): Promise<void> {
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
