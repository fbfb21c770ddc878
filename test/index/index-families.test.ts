/** Index streams (architecture 4) agree with the log, also when they are switched on late or their rule changes. */
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { buildApp } from '../../routes/index.js'
import { Store, type StoreOptions } from '../../src/store/store.js'
import { categoryOf } from '../../src/streams/names.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { encodeEvent } from '../helpers/events.js'
import { type Random, seeded } from '../helpers/random.js'

const STREAMS = ['cart-1', 'cart-2', 'cart-a-b', 'order_1', 'order_x-1', 'plain', 'größe-1']

interface Held {
  stream: string
  type: string
  tags: string[]
  correlation: string | undefined
}

async function appendSome(store: Store, random: Random, held: Held[], count: number): Promise<void> {
  while (count > 0) {
    const size = Math.min(count, random.int(1, 20))
    count -= size
    const batch = Array.from({ length: size }, () => ({
      stream: random.chance(0.95) ? random.pick(STREAMS) : `new-${held.length}`,
      type: random.pick(['A', 'B', 'C']),
      tags: ['x', 'y', 'z'].filter(() => random.chance(0.3)),
      correlation: random.chance(0.3) ? `c-${random.int(1, 5)}` : undefined
    }))
    const events = batch.map(({ stream, type, tags, correlation }) =>
      encodeEvent(stream, { type, tags, metadata: correlation && { $correlationId: correlation } })
    )
    await store.writer.append({ events, conditions: [], kind: 'append' })
    held.push(...batch)
  }
}

/** The positions that each index stream must list, in order. */
function listsOf(held: readonly Held[], rule: Parameters<typeof categoryOf>[1]): Map<string, number[]> {
  const lists = new Map<string, number[]>()
  const seen = new Set<string>()
  for (const [position, { stream, type, correlation }] of held.entries()) {
    const add = (list: string) => lists.set(list, [...(lists.get(list) ?? []), position])
    const category = categoryOf(stream, rule)
    if (category !== undefined) add(`$ce-${category}`)
    add(`$et-${type}`)
    if (correlation !== undefined) add(`$bc-${correlation}`)
    if (seen.has(stream)) continue
    seen.add(stream)
    add('$streams')
    if (category !== undefined) add(`$category-${category}`)
  }
  return lists
}

/** Reads every index stream, and events by tag, over HTTP. */
async function checkLists(
  t: Test,
  store: Store,
  held: readonly Held[],
  rule: Parameters<typeof categoryOf>[1] = { at: 'first', separator: '-' }
): Promise<void> {
  const app = await buildApp(store, { logLevel: 'silent', insecure: true })
  const read = async (url: string) => {
    const { statusCode, body } = await app.inject(url)
    if (statusCode !== 200) return `${statusCode}`
    const lines = body.split('\n').filter((line) => line !== '')
    return lines.map((line) => (JSON.parse(line) as { position: number }).position)
  }
  for (const [name, positions] of listsOf(held, rule)) {
    const url = `/streams/${encodeURIComponent(name)}`
    t.same(await read(`${url}?format=ndjson`), positions, name)
    const page = (await app.inject(`${url}?limit=1&order=desc`)).json()
    t.match(page.events[0], { position: positions.at(-1), link: { stream: name, number: positions.length - 1 } })
  }
  for (const tag of ['x', 'y', 'z']) {
    const positions = [...held.keys()].filter((position) => held[position]?.tags.includes(tag))
    t.same(await read(`/events?format=ndjson&tag=${tag}`), positions, `tag ${tag}`)
  }
}

async function open(directory: string, options: Partial<StoreOptions> = {}): Promise<Store> {
  return new Store({ directory, ...options }).open()
}

async function checkAgreement(t: Test, directory: string, when: string): Promise<void> {
  t.same((await checkDirectory(directory)).disagreements, [], `${when}: index and log agree`)
}

t.test('lists that are switched on late are filled while events are appended', async (t) => {
  const random = seeded(t)
  const directory = join(t.testdir({}), 'db')
  const held: Held[] = []
  let store = await open(directory, { runProjections: 'none' })
  await appendSome(store, random, held, 700)
  t.equal(store.postings.keeps('t'), false, 'no lists of types are kept')
  await store.close()
  await checkAgreement(t, directory, 'without lists')

  store = await open(directory, { runProjections: 'all' })
  t.ok(store.postings.behind.size > 0, 'the families are behind after the start')
  await appendSome(store, random, held, 300)
  await store.filled
  t.equal(store.postings.behind.size, 0, 'the families are not behind after the back-fill')
  await checkLists(t, store, held)
  await store.close()
  await checkAgreement(t, directory, 'filled')

  store = await open(directory)
  t.equal(store.postings.behind.size, 0, 'the families stay current after a restart without the option')
  await appendSome(store, random, held, 100)
  await checkLists(t, store, held)
  await store.close()

  store = await open(directory, { runProjections: 'none' })
  await appendSome(store, random, held, 200)
  await store.close()
  await checkAgreement(t, directory, 'switched off')
  store = await open(directory, { runProjections: 'system' })
  await store.filled
  await checkLists(t, store, held)
  await store.close()
  await checkAgreement(t, directory, 'switched on again')
})

t.test('a back-fill that is stopped or ended by a crash continues where it was', async (t) => {
  const random = seeded(t)
  const directory = join(t.testdir({}), 'db')
  const held: Held[] = []
  let store = await open(directory, { runProjections: 'none' })
  await appendSome(store, random, held, 5000)
  await store.close()

  let stops = 0
  for (let i = 0; ; i++) {
    store = await open(directory, { runProjections: 'all' })
    if (store.postings.behind.size === 0 || i > 200) break
    const from = Math.min(...store.postings.behind.values())
    // Fill a few chunks, at once or after an append, then stop.
    for (let turn = random.int(0, 4); turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve))
    if (random.chance(0.3)) await appendSome(store, random, held, 20)
    if (i === 1) {
      // The state after a crash: nothing was closed or flushed.
      const crashed = join(t.testdirName, 'crashed')
      cpSync(directory, crashed, { recursive: true })
      await checkAgreement(t, crashed, 'after a crash')
      const reopened = await open(crashed, { runProjections: 'all' })
      await reopened.filled
      await checkLists(t, reopened, held)
      await reopened.close()
    }
    await store.close()
    const { behind } = store.postings
    if (behind.size > 0) stops++
    t.ok(behind.size === 0 || Math.min(...behind.values()) >= from, 'no event is filled twice')
    await checkAgreement(t, directory, `stopped ${i + 1} times`)
    if (i === 20) await (store = await open(directory)).filled.then(() => store.close())
  }
  await store.filled
  t.ok(stops > 0, `the back-fill was stopped ${stops} times`)
  await checkLists(t, store, held)
  await store.close()
  await checkAgreement(t, directory, 'filled')
})

t.test('another category separator rebuilds only the lists of categories', async (t) => {
  const random = seeded(t)
  const directory = join(t.testdir({}), 'db')
  const held: Held[] = []
  let store = await open(directory)
  await appendSome(store, random, held, 400)
  await checkLists(t, store, held)
  await store.close()
  for (const rule of [{ at: 'last', separator: '-' } as const, { at: 'first', separator: '_' } as const]) {
    store = await open(directory, { categoryRule: rule })
    t.same([...store.postings.behind.keys()].sort(), ['c', 'p'], 'the other families stay')
    await appendSome(store, random, held, 50)
    await store.filled
    await checkLists(t, store, held, rule)
    await store.close()
    await checkAgreement(t, directory, `${rule.at}:${rule.separator}`)
    store = await open(directory)
    await appendSome(store, random, held, 50)
    await checkLists(t, store, held, rule)
    t.equal(store.postings.behind.size, 0, 'the rule is kept after a restart without the option')
    await store.close()
  }
  store = await open(directory, { rebuildIndex: true, categoryRule: { at: 'last', separator: '-' } })
  await checkLists(t, store, held, { at: 'last', separator: '-' })
  await store.close()
  await checkAgreement(t, directory, 'rebuilt')
})

t.test('the first event of a stream is in all its lists at once', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const store = await open(directory)
  const metadata = { $correlationId: 'c/1 ü', other: true }
  const event = encodeEvent('cart-1', { type: 'Opened', tags: ['x', 'y', 'z'], metadata })
  await store.writer.append({ events: [event], conditions: [], kind: 'append' })
  const app = await buildApp(store, { logLevel: 'silent', insecure: true })
  for (const name of ['$ce-cart', '$et-Opened', '$bc-c/1 ü', '$streams', '$category-cart']) {
    const answer = await app.inject(`/streams/${encodeURIComponent(name)}`)
    t.match(answer.json(), { events: [{ position: 0, link: { stream: name, number: 0 } }], head: 0 }, name)
  }
  for (const tag of ['x', 'y', 'z']) t.equal((await app.inject(`/events?tag=${tag}`)).json().events.length, 1, tag)
  await store.close()
  await checkAgreement(t, directory, 'one event')
})

t.test('a correlation id that is not valid in a stream name gets no list', async (t) => {
  const directory = join(t.testdir({}), 'db')
  const store = await open(directory)
  const events = ['c\ud800', '', 'x'.repeat(1100), 'a\nb', 5, null, { a: 1 }].map(($correlationId) =>
    encodeEvent('s', { metadata: { $correlationId } })
  )
  await store.writer.append({ events, conditions: [], kind: 'append' })
  t.same(await store.postings.list('b', { prefix: '', after: undefined, limit: 10 }), [])
  await store.close()
  await checkAgreement(t, directory, 'no list')
})
