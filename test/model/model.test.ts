import { join } from 'node:path'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { buildApp } from '../../routes/index.js'
import { Store } from '../../src/store/store.js'
import { checkDirectory } from '../../src/verify/check-directory.js'
import { type Random, seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'
import { Model, type ModelAppend, type ModelEvent } from './model.js'

const STREAMS = ['cart-1', 'cart-2', 'order-1', 'order-22', 'plain', 'a/b-%.c', 'größe-漢', '$hidden']
const TYPES = ['ItemAdded', 'ItemRemoved', 'CheckedOut', 'Ünïcode']
const TAGS = ['ann', 'bob', 'vip']
const STEPS = scaled(1500)

t.test('the store answers random requests as a model of arrays does', async (t) => {
  const random = seeded(t)
  const directory = join(t.testdir({}), 'db')
  const model = new Model()
  let app = await open(directory)
  t.teardown(() => app.close())
  const ids: { stream: string; id: string }[] = []
  for (let step = 0; step < STEPS; step++) {
    const what = random.next()
    if (what < 0.45) await append(t, app, model, random, ids)
    else if (what < 0.95) await read(t, app, model, random)
    else if (what < 0.99) await list(t, app, model)
    else if (random.chance(0.3)) {
      await app.close()
      app = await open(directory)
    }
    if (!t.passing()) return t.comment(`stopped at step ${step}`)
  }
  t.ok(model.log.length > STEPS / 5, `${model.log.length} events were appended`)
  await app.close()
  t.same((await checkDirectory(directory)).disagreements, [])
})

async function open(directory: string): Promise<FastifyInstance> {
  return buildApp(await new Store({ directory }).open(), { logLevel: 'silent', insecure: true })
}

async function append(
  t: Test,
  app: FastifyInstance,
  model: Model,
  random: Random,
  ids: { stream: string; id: string }[]
) {
  const several = random.chance(0.3)
  const stream = random.pick(STREAMS)
  const events = Array.from({ length: random.chance(0.6) ? 1 : random.int(2, 5) }, () => {
    const event: ModelAppend['events'][number] = {
      stream: several ? random.pick(STREAMS) : stream,
      type: random.pick(TYPES),
      data: random.pick([null, { n: random.int(0, 3) }, 'text', [1, 2]]),
      tags: random.chance(0.3) ? [random.pick(TAGS)] : []
    }
    if (!random.chance(0.3)) return event
    const again = ids.filter((one) => one.stream === event.stream)
    event.id = again.length > 0 && random.chance(0.4) ? random.pick(again).id : random.uuid()
    return event
  })
  const inBatch = events.flatMap(({ stream, id }) => (id === undefined ? [] : [`${stream} ${id}`]))
  if (new Set(inBatch).size < inBatch.length) return
  for (const { stream, id } of events) if (id !== undefined) ids.push({ stream, id })
  const named = several ? random.pick(STREAMS) : stream
  const conditions: ModelAppend['conditions'] = random.chance(0.4)
    ? [{ stream: named, expected: random.pick(['none', 'exists', model.stream(named).length - 1 + random.int(-1, 1)]) }]
    : []
  if (conditions.some(({ expected }) => typeof expected === 'number' && expected < 0)) return
  const wanted = model.append({ events, conditions })
  const shown = events.map(({ tags, stream: own, ...event }) => ({
    ...event,
    ...(several && { stream: own }),
    ...(tags.length > 0 && { tags })
  }))
  const answer = several
    ? await app.inject({
        method: 'POST',
        url: '/events',
        payload: { events: shown, conditions: conditions.map(({ stream, expected }) => ({ stream, head: expected })) }
      })
    : await app.inject({
        method: 'POST',
        url: `/streams/${encodeURIComponent(stream)}`,
        headers: { 'content-type': 'application/json', ...headerOf(conditions[0]?.expected) },
        payload: JSON.stringify(shown)
      })
  const body = answer.json()
  if (answer.statusCode !== wanted.status) {
    return t.equal(answer.statusCode, wanted.status, `append ${JSON.stringify({ shown, conditions })}: ${answer.body}`)
  }
  if (wanted.status !== 201) return t.equal(body.code, wanted.code)
  t.equal(body.replayed, wanted.replayed)
  t.same(
    body.events.map((event: ModelEvent) => event.number),
    wanted.numbers
  )
  t.same(
    body.events.map((event: ModelEvent) => event.position),
    wanted.positions
  )
}

function headerOf(expected: number | 'none' | 'exists' | undefined): Record<string, string> {
  if (expected === undefined) return {}
  if (expected === 'none') return { 'if-none-match': '*' }
  return { 'if-match': expected === 'exists' ? '*' : `"${expected}"` }
}

/** Reads to the end, page by page, and compares with the filtered model. */
async function read(t: Test, app: FastifyInstance, model: Model, random: Random) {
  const onStream = random.chance(0.5)
  const stream = random.pick(STREAMS)
  const query = new URLSearchParams()
  let expected = onStream ? model.stream(stream) : model.log
  const place = (event: ModelEvent) => (onStream ? event.number : event.position)
  const last = expected.length === 0 ? -1 : place(expected.at(-1) as ModelEvent)
  const keep = (test: (event: ModelEvent) => boolean) => {
    expected = expected.filter(test)
  }
  if (!onStream && random.chance(0.8)) keep((event) => event.stream !== '$hidden')
  else if (!onStream) query.set('system', 'true')
  if (random.chance(0.4)) {
    const bound = random.int(0, last + 1)
    if (random.chance(0.5)) {
      query.set('from', String(bound))
      keep((event) => place(event) >= bound)
    } else if (bound <= last) {
      query.set('after', String(bound))
      keep((event) => place(event) > bound)
    }
  }
  if (random.chance(0.3)) {
    const bound = random.int(0, last + 3)
    if (random.chance(0.5)) {
      query.set('to', String(bound))
      keep((event) => place(event) <= bound)
    } else {
      query.set('before', String(bound))
      keep((event) => place(event) < bound)
    }
  }
  if (random.chance(0.3)) {
    const types = [random.pick(TYPES), random.pick(TYPES)]
    for (const type of types) query.append('type', type)
    keep((event) => types.includes(event.type))
  }
  if (random.chance(0.1)) {
    query.set('type.regex', '^Item')
    keep((event) => event.type.startsWith('Item'))
  }
  if (random.chance(0.1)) {
    const tag = random.pick(TAGS)
    query.set('tag', tag)
    keep((event) => event.tags.includes(tag))
  }
  if (!onStream && random.chance(0.2)) {
    query.set('category', 'cart')
    keep((event) => event.stream.startsWith('cart-'))
  }
  if (!onStream && random.chance(0.2)) {
    const names = [random.pick(STREAMS.slice(0, -1)), random.pick(STREAMS.slice(0, -1))]
    for (const name of names) query.append('stream', name)
    keep((event) => names.includes(event.stream))
  }
  const descending = random.chance(0.5)
  if (descending) query.set('order', 'desc')
  query.set('limit', String(random.pick([1, 7, 20, 50, 1000])))
  const wanted = (descending ? [...expected].reverse() : expected).map(({ position }) => position)
  let url: string | undefined = `${onStream ? `/streams/${encodeURIComponent(stream)}` : '/events'}?${query}`
  const first = url
  if (onStream && model.stream(stream).length === 0) {
    return t.equal((await app.inject(url)).statusCode, 404, `${url}: never written`)
  }
  const met: number[] = []
  for (let pages = 0; url !== undefined; pages++) {
    const answer: LightMyRequestResponse = await app.inject(url)
    if (answer.statusCode !== 200 || pages > 5000) return t.fail(`${url} (from ${first}): ${answer.body}`)
    const page: { events: ModelEvent[]; links: { next?: string } } = answer.json()
    met.push(...page.events.map((event: ModelEvent) => event.position))
    for (const event of page.events) {
      const { type, data, stream: own, number } = model.log[event.position] as ModelEvent
      const same = event.type === type && event.stream === own && event.number === number
      if (!same || JSON.stringify(event.data) !== JSON.stringify(data)) t.same(event, model.log[event.position])
    }
    url = page.links.next
  }
  t.same(met, wanted, `${first} returns what the model returns`)
}

async function list(t: Test, app: FastifyInstance, model: Model) {
  const names = [...new Set(model.log.map(({ stream }) => stream))].filter((name) => !name.startsWith('$'))
  const sorted = names.sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
  const { streams } = (await app.inject('/streams')).json()
  t.same(
    streams.map(({ stream, head }: { stream: string; head: number }) => ({ stream, head })),
    sorted.map((stream) => ({ stream, head: model.stream(stream).length - 1 }))
  )
  const { types } = (await app.inject('/types')).json()
  const shown = model.log.filter((event) => event.stream !== '$hidden')
  const counts = TYPES.toSorted().map((name) => ({ name, events: shown.filter(({ type }) => type === name).length }))
  t.same(
    types.map(({ name, events }: { name: string; events: number }) => ({ name, events })),
    counts.filter(({ events }) => events > 0),
    'every type is listed with its count'
  )
}
