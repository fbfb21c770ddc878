/**
 * Between random restarts, entries of the index are removed, get flipped bits, or are replaced by older versions. The
 * log must stay correct: no number twice or skipped, no id twice in a stream. Every answer must be right or a refusal.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { idBytes, idText } from '../../src/log/format.js'
import { Level } from '../../src/log/level.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import type { AppendResult } from '../../src/writing/plan/plan-append.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { encodeEvent, type Plain } from '../helpers/events.js'
import { type Random, seeded } from '../helpers/random.js'

const SMALL = {
  index_checked_events: 3,
  heads_cached_max: 40,
  heads_loaded_max: 10,
  index_pending_max: 25,
  index_behind_events_max: 20
}
const { index_checked_events, heads_cached_max, heads_loaded_max, index_pending_max, index_behind_events_max } = limits
const usual = { index_checked_events, heads_cached_max, heads_loaded_max, index_pending_max, index_behind_events_max }
Object.assign(limits, SMALL)
t.teardown(() => Object.assign(limits, usual))

const LEVEL = { writeBufferSize: 1 << 20, cacheSize: 1 << 20, compression: false }

interface Told extends Plain {
  stream: string
  number: number
}

/** The acknowledged events, and those that may be in the log in addition. */
class Model {
  readonly events: Told[] = []
  readonly #random: Random
  #made = 0

  constructor(random: Random) {
    this.#random = random
  }

  of(stream: string): Told[] {
    return this.events.filter((event) => event.stream === stream)
  }

  /** Appends one event: mostly a new one, sometimes a retry. */
  next(): { stream: string; event: Plain; replays?: Told | undefined } {
    const random = this.#random
    const known = this.events.length > 0 && random.chance(0.3) ? random.pick(this.events) : undefined
    if (known !== undefined) return { stream: known.stream, event: known, replays: known }
    const stream = random.chance(0.3) ? `new-${this.#made++}` : `s-${random.int(0, 30)}`
    const tags = Array.from({ length: random.int(0, 2) }, () => `tag-${random.int(0, 25)}`)
    const event = { type: `T${random.int(0, 5)}`, ...(random.chance(0.5) && { id: random.uuid() }) }
    return { stream, event: { ...event, tags: [...new Set(tags)] } }
  }
}

t.test('the log stays correct when index entries are lost or damaged', async (t) => {
  const random = seeded(t)
  const directory = join(t.testdir({}), 'db')
  const model = new Model(random)
  const older: Map<string, Buffer>[] = []
  const told = { right: 0, refused: 0, damaged: 0 }
  for (let session = 0; session < 25; session++) {
    const store = await opened(directory, random)
    await compare(t, store, model)
    for (let i = 0; i < 15; i++) await Promise.all([step(t, store, model, random, told), look(store, random)])
    await store.close()
    older.push(await damage(directory, random, older, session % 3 === 2 ? 0 : random.int(1, 6)))
    if (session % 5 === 4) await (await new Store({ directory, rebuildIndex: true }).open()).close()
  }
  const store = await new Store({ directory, rebuildIndex: true }).open()
  await compare(t, store, model)
  await store.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'a rebuilt index agrees with the log')
  t.comment(JSON.stringify(told))
  t.ok(told.right > 100 && told.damaged > 0, 'some requests met damage, and most were answered')
})

/** Opens the store. A start may fail because of damage; the next one rebuilds the index. */
async function opened(directory: string, random: Random): Promise<Store> {
  const runProjections = random.chance(0.2) ? 'none' : 'all'
  try {
    return await new Store({ directory, runProjections }).open()
  } catch (error) {
    if (!isDaybookError(error) || error.code !== 'index-damaged') throw error
    return new Store({ directory, runProjections }).open()
  }
}

async function step(t: Test, store: Store, model: Model, random: Random, told: Record<string, number>): Promise<void> {
  const { stream, event, replays } = model.next()
  const is = model.of(stream).length
  const tag = random.chance(0.2) ? `tag-${random.int(0, 30)}` : undefined
  const none = random.chance(0.2)
  const request: AppendAll = {
    events: [encodeEvent(stream, event)],
    conditions: none ? [{ stream, expected: 'no_stream' }] : [],
    ...(tag !== undefined && { matches: [{ items: [{ types: [], tags: [tag] }], after: -1, index: 0 }] }),
    kind: 'append'
  }
  let result: AppendResult
  try {
    result = await store.writer.append(request)
  } catch (error) {
    const code = isDaybookError(error) ? error.code : String(error)
    if (code === 'index-damaged') {
      t.equal((error as { details: { written: unknown } }).details.written, false)
      told.damaged = (told.damaged ?? 0) + 1
      return
    }
    told.refused = (told.refused ?? 0) + 1
    const inTheWay = tag !== undefined && model.events.some(({ tags }) => tags?.includes(tag))
    if (code === 'events-match') t.ok(inTheWay && replays === undefined, `an event with ${tag} matches`)
    else if (code === 'wrong-expected-version') t.ok(none && is > 0 && replays === undefined, `"${stream}" exists`)
    else t.fail(`${code}: ${(error as Error).message}`)
    return
  }
  told.right = (told.right ?? 0) + 1
  const placed = result.events[0] as AppendResult['events'][number]
  t.equal(placed.number, replays?.number ?? is, `the event number in "${stream}"`)
  t.equal(placed.replayed, replays !== undefined)
  if (replays !== undefined) return
  t.notOk(none && is > 0, `"${stream}" did not exist`)
  t.notOk(tag !== undefined && model.events.some(({ tags }) => tags?.includes(tag)), `no event with ${tag} existed`)
  const record = await store.log.read(placed.position)
  model.events.push({ ...event, stream, number: placed.number, id: record.idText })
}

/** Runs concurrent reads, which fill the caches. */
async function look(store: Store, random: Random): Promise<void> {
  const heads = [
    store.postings.head('s', `s-${random.int(0, 30)}`),
    store.postings.head('g', `tag-${random.int(0, 30)}`)
  ]
  for (const outcome of await Promise.allSettled(heads)) {
    if (outcome.status === 'rejected' && outcome.reason.code !== 'index-damaged') throw outcome.reason
  }
}

/** Checks that the log contains the acknowledged events in order, and nothing else. */
async function compare(t: Test, store: Store, model: Model): Promise<void> {
  const next = new Map<string, number>()
  const ids = new Set<string>()
  const found: string[] = []
  for await (const records of store.log.head < 0 ? [] : store.log.scan(0, store.log.head)) {
    for (const record of records) {
      const { stream, number, id } = record
      if (number !== (next.get(stream) ?? 0)) t.fail(`"${stream}" has number ${number} at ${record.position}`)
      next.set(stream, number + 1)
      const own = `${stream} ${idText(id)}`
      if (ids.has(own)) t.fail(`the id of ${own} is repeated`)
      ids.add(own)
      if (!stream.startsWith('$')) found.push(`${number} ${own}`)
    }
  }
  t.same(
    found,
    model.events.map(({ stream, number, id }) => `${number} ${stream} ${idText(idBytes(id as string))}`)
  )
}

/** Deletes, flips or restores some index entries. @returns all entries as they were before */
async function damage(
  directory: string,
  random: Random,
  older: readonly Map<string, Buffer>[],
  count: number
): Promise<Map<string, Buffer>> {
  const index = await Level.open(join(directory, 'index'), LEVEL)
  const now = new Map<string, Buffer>()
  for await (const { key, value } of index.entries({})) now.set(key.toString('latin1'), value)
  const batch = index.batch()
  const keys = [...now.keys()]
  for (let i = 0; i < count; i++) {
    const name = random.pick(keys)
    const key = Buffer.from(name, 'latin1')
    const before = older.length > 0 ? random.pick(older).get(name) : undefined
    const how = random.int(0, 2)
    if (how === 0) batch.del(key)
    else if (how === 1 && before !== undefined) batch.put(key, before)
    else {
      const value = Buffer.from(now.get(name) as Buffer)
      const at = random.int(0, value.length - 1)
      value[at] = (value[at] as number) ^ (1 << random.int(0, 7))
      batch.put(key, value)
    }
  }
  await index.write(batch)
  await index.close()
  return now
}
