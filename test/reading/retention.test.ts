/**
 * Events hidden by a stream's metadata are hidden on every read path, and no others are (reference 6, 7, 11). Random
 * appends, metadata, deletes and time are compared with a simple model of the rules.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { systemClock } from '../../src/time/clock.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { append, openApp } from '../helpers/app.js'
import { type Random, seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'

const STREAMS = ['cat-1', 'cat-2', 'cat-große', 'dog-1', 'plain']
const TYPES = ['A', 'B']
const TAGS = ['x', 'y']
const ROUNDS = scaled(40)
const STEPS_A_ROUND = 12

interface Held {
  stream: string
  number: number
  position: number
  created: number
  type: string
  tags: string[]
}

interface Metadata {
  maxCount?: number
  maxAge?: number
  truncateBefore?: number
}

/** A model: the log as an array, and each retention rule as one expression. */
class Model {
  readonly log: Held[] = []
  readonly metadata = new Map<string, Metadata | 'deleted' | 'tombstone'>()
  readonly tombstones: Held[] = []
  now = Date.UTC(2026, 0, 1)

  of(stream: string): Held[] {
    return this.log.filter((event) => event.stream === stream)
  }

  isSeen({ stream, number, created }: Held): boolean {
    const metadata = this.metadata.get(stream) ?? {}
    if (typeof metadata === 'string') return false
    const { maxCount = Number.POSITIVE_INFINITY, maxAge = Number.POSITIVE_INFINITY, truncateBefore = 0 } = metadata
    const count = this.of(stream).length
    return number >= truncateBefore && number >= count - maxCount && created >= this.now - maxAge * 1000
  }

  seen(belongs: (event: Held) => boolean): Held[] {
    const seen = this.log.filter((event) => belongs(event) && this.isSeen(event))
    return [...seen, ...this.tombstones.filter(belongs)].sort((one, two) => one.position - two.position)
  }
}

t.test('events hidden by metadata are hidden on every read path, and no others are', async (t) => {
  const random = seeded(t)
  const model = new Model()
  const { app, directory } = await openApp(t, { clock: { ...systemClock, now: () => model.now } })
  for (let round = 0; round < ROUNDS && t.passing(); round++) {
    for (let step = 0; step < STEPS_A_ROUND; step++) await change(t, app, model, random)
    model.now += random.int(0, 4000)
    await checkStreams(t, app, model, random)
    await checkLog(t, app, model, random)
    await checkIndexes(t, app, model, random)
    if (!t.passing()) t.comment(`stopped in round ${round}: ${JSON.stringify([...model.metadata])}`)
  }
  const hidden = model.log.filter((event) => !model.isSeen(event)).length
  t.comment(`${model.log.length} events, ${hidden} of them hidden at the end`)
  t.ok(model.log.length > 5 * ROUNDS && hidden > ROUNDS, 'there are enough hidden events')
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [], 'log and index agree')
})

async function change(t: Test, app: FastifyInstance, model: Model, random: Random): Promise<void> {
  const stream = random.pick(STREAMS)
  const state = model.metadata.get(stream)
  const roll = random.next()
  model.now += random.int(0, 1500)
  const url = `/streams/${encodeURIComponent(stream)}`
  if (roll < 0.65) {
    const events = Array.from({ length: random.int(1, 4) }, () => ({
      type: random.pick(TYPES),
      tags: TAGS.filter(() => random.chance(0.5))
    }))
    const answer = await append(app, stream, events)
    if (state === 'tombstone') return void t.equal(answer.statusCode, 410, 'an append after a tombstone is rejected')
    t.equal(answer.statusCode, 201, answer.body)
    // After a delete, an event or metadata revives the stream, which then shows only new events.
    if (state === 'deleted') model.metadata.set(stream, { truncateBefore: model.of(stream).length })
    for (const [i, { number, position, created }] of answer.json().events.entries()) {
      const { type, tags } = events[i] as { type: string; tags: string[] }
      model.log.push({ stream, number, position, created: Date.parse(created), type, tags })
    }
  } else if (roll < 0.9) {
    const metadata: Metadata = {
      ...(random.chance(0.4) && { maxCount: random.int(1, 8) }),
      ...(random.chance(0.4) && { maxAge: random.int(1, 60) }),
      ...(random.chance(0.4) && { truncateBefore: random.int(0, model.of(stream).length + 2) })
    }
    const headers = { 'content-type': 'application/json' }
    const { maxAge } = metadata
    const payload = JSON.stringify({ ...metadata, ...(maxAge !== undefined && { maxAge: `PT${maxAge}S` }) })
    const answer = await app.inject({ method: 'PUT', url: `${url}/metadata`, headers, payload })
    if (state === 'tombstone') return void t.equal(answer.statusCode, 410)
    t.equal(answer.statusCode, state === undefined ? 201 : 200, answer.body)
    const hidden = state === 'deleted' && { truncateBefore: model.of(stream).length }
    model.metadata.set(stream, { ...metadata, ...hidden })
  } else {
    const permanent = stream !== 'cat-1' && random.chance(0.08)
    const answer = await app.inject({ method: 'DELETE', url: `${url}?permanent=${permanent}` })
    if (state === 'tombstone') return void t.equal(answer.statusCode, 410)
    const nothing = model.of(stream).length === 0 && state === undefined
    if (nothing && !permanent) return void t.equal(answer.statusCode, 404)
    t.equal(answer.statusCode, 204, answer.body)
    model.metadata.set(stream, permanent ? 'tombstone' : 'deleted')
    // A permanent delete is an event, and the only visible event of its stream.
    if (permanent) {
      const position = (await app.inject('/info')).json().head
      model.tombstones.push({ stream, number: -1, position, created: model.now, type: '$streamDeleted', tags: [] })
    }
  }
}

// ------------------------------------------------------------------------------------------------ read paths

async function checkStreams(t: Test, app: FastifyInstance, model: Model, random: Random): Promise<void> {
  const listed = (await app.inject('/streams')).json().streams.map((one: Held) => one.stream)
  const alive = STREAMS.filter((name) => model.of(name).length > 0 && typeof model.metadata.get(name) !== 'string')
  t.same([...listed].sort(), [...alive].sort(), 'the listed streams')
  for (const stream of STREAMS) {
    const url = `/streams/${encodeURIComponent(stream)}`
    const state = model.metadata.get(stream)
    const held = model.of(stream)
    const gone = state === 'tombstone' ? 410 : held.length === 0 || state === 'deleted' ? 404 : undefined
    if (gone !== undefined) {
      for (const path of [url, `${url}?format=ndjson`, `${url}/0`, `${url}/head/backward/5`, `${url}/0/forward/5`]) {
        t.equal((await app.inject(path)).statusCode, gone, `${path} of a deleted or missing stream`)
      }
      continue
    }
    const numbers = model.seen((event) => event.stream === stream).map(({ number }) => number)
    await checkPages(t, app, `${url}?limit=${random.int(1, 9)}`, numbers, 'number')
    await checkLines(t, app, `${url}?format=ndjson`, numbers, 'number')
    const titles = numbers.map((number) => `${number}@${stream}`)
    await checkFeed(t, app, `${url}/head/backward/${random.int(1, 9)}`, 'next', [...titles].reverse())
    await checkFeed(t, app, `${url}/0/forward/${random.int(1, 9)}`, 'previous', titles)
    const number = random.int(0, held.length - 1)
    const status = numbers.includes(number) ? 200 : 404
    t.equal((await app.inject(`${url}/${number}`)).statusCode, status, `event ${number} of ${stream}`)
    const accept = 'application/vnd.eventstore.atom+json'
    const entry = await app.inject({ url: `${url}/${number}`, headers: { accept } })
    t.equal(entry.statusCode, status, `entry ${number} of ${stream}`)
  }
}

async function checkLog(t: Test, app: FastifyInstance, model: Model, random: Random): Promise<void> {
  const type = random.pick(TYPES)
  const tag = random.pick(TAGS)
  const stream = random.pick(STREAMS)
  const queries: [string, (event: Held) => boolean][] = [
    ['', () => true],
    [`&type=${type}`, (event) => event.type === type],
    [`&tag=${tag}`, (event) => event.tags.includes(tag)],
    ['&category=cat', (event) => event.stream.startsWith('cat-')],
    [`&stream=${encodeURIComponent(stream)}`, (event) => event.stream === stream],
    ['&stream.prefix=cat&type.not=A', (event) => event.stream.startsWith('cat') && event.type !== 'A']
  ]
  for (const [query, belongs] of queries) {
    const positions = model.seen(belongs).map(({ position }) => position)
    await checkPages(t, app, `/events?limit=${random.int(1, 30)}${query}`, positions, 'position')
    await checkLines(t, app, `/events?format=ndjson${query}`, positions, 'position')
    const all = model.log.filter(belongs).map(({ position }) => position)
    const truncated = await numbersOf(app, `/events?format=ndjson&truncated=true${query}`, 'position')
    t.same(
      truncated.filter((position) => all.includes(position)),
      all,
      `truncated=true${query} shows all events`
    )
  }
  const event = random.pick(model.log)
  const status = model.isSeen(event) ? 200 : 404
  t.equal((await app.inject(`/events/${event.position}`)).statusCode, status, `the event at ${event.position}`)
}

/** An index stream keeps entries of hidden events. The native API leaves them out; the dialect shows their links. */
async function checkIndexes(t: Test, app: FastifyInstance, model: Model, random: Random): Promise<void> {
  const lists: [string, (event: Held) => boolean][] = [
    ['$ce-cat', ({ stream }) => stream.startsWith('cat-')],
    ['$et-A', ({ type }) => type === 'A'],
    ['$streams', ({ number }) => number === 0],
    ['$category-cat', ({ number, stream }) => number === 0 && stream.startsWith('cat-')]
  ]
  for (const [name, belongs] of lists) {
    if (!model.log.some(belongs)) continue
    const url = `/streams/${encodeURIComponent(name)}`
    const positions = model.seen(belongs).map(({ position }) => position)
    await checkPages(t, app, `${url}?limit=${random.int(1, 20)}`, positions, 'position')
    await checkLines(t, app, `${url}?format=ndjson`, positions, 'position')
    // The native API lists first events. The dialect lists stream names, also of hidden or deleted streams.
    if (name.startsWith('$category-')) continue
    const shown: string[] = []
    let next: string | undefined = `${url}/head/backward/${random.int(5, 50)}?embed=body`
    while (next !== undefined) {
      const { entries, links }: Feed = (await app.inject({ url: next, headers: ATOM })).json()
      for (const { data, title, streamId } of entries) {
        if (data !== undefined && data !== null) shown.push(title)
        else if (streamId !== undefined && STREAMS.includes(streamId)) shown.push(title)
      }
      next = linkOf(links, 'next')?.concat('?embed=body')
    }
    const titles = model
      .seen((event) => event.number >= 0 && belongs(event))
      .map(({ number, stream }) => `${number}@${stream}`)
    const mine = shown.filter((title) => STREAMS.includes(title.slice(title.indexOf('@') + 1)))
    t.same(mine.filter((title) => !title.startsWith('9223')).reverse(), titles, `the feed of ${name}`)
  }
}

/** Reads in both orders, page by page. */
async function checkPages(t: Test, app: FastifyInstance, url: string, wanted: number[], place: 'number' | 'position') {
  for (const order of ['asc', 'desc'] as const) {
    const met: number[] = []
    let next: string | undefined = `${url}&order=${order}`
    while (next !== undefined) {
      const page: { events: Held[]; links: { next?: string } } = (await app.inject(next)).json()
      met.push(...page.events.map((event) => event[place]))
      next = page.links.next
    }
    t.same(met, order === 'asc' ? wanted : [...wanted].reverse(), `pages of ${url}, ${order}`)
  }
}

async function checkLines(t: Test, app: FastifyInstance, url: string, wanted: number[], place: 'number' | 'position') {
  t.same(await numbersOf(app, url, place), wanted, `lines of ${url}`)
}

async function numbersOf(app: FastifyInstance, url: string, place: 'number' | 'position'): Promise<number[]> {
  const { body } = await app.inject(url)
  const lines = body.split('\n').filter((line) => line !== '')
  return lines.map((line) => (JSON.parse(line) as Held)[place])
}

const ATOM = { accept: 'application/vnd.eventstore.atom+json' }

interface Feed {
  entries: { title: string; data?: string | null; streamId?: string }[]
  links: { relation: string; uri: string }[]
}

function linkOf(links: Feed['links'], relation: string): string | undefined {
  return links.find((link) => link.relation === relation)?.uri.replace(/^http:\/\/[^/]+/, '')
}

async function checkFeed(t: Test, app: FastifyInstance, start: string, relation: string, wanted: string[]) {
  const met: string[] = []
  for (let url: string | undefined = start; url !== undefined; ) {
    const { entries, links }: Feed = (await app.inject({ url, headers: ATOM })).json()
    const titles = entries.map(({ title }) => title)
    met.push(...(relation === 'next' ? titles : titles.reverse()))
    url = linkOf(links, relation)
    if (relation === 'previous' && entries.length === 0 && met.length >= wanted.length) break
  }
  t.same(met, wanted, `${start} by ${relation}`)
}
