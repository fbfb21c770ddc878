import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'
import { PagedModel, type PageQuery, type PlacedEvent, STREAMS } from '../helpers/paged-model.js'
import { type Random, seeded } from '../helpers/random.js'
import { scaled } from '../helpers/scale.js'

interface Shown {
  position: number
  number: number
  stream: string
  type: string
}
interface PageShown {
  events: Shown[]
  links: { next?: string; newer: string; older?: string; first: string; last: string; live: string }
}

t.test('a client that follows links meets every event once, while another client appends', async (t) => {
  const { app, store } = await openApp(t)
  let appended = 0
  const append = async () => {
    const events = Array.from({ length: 7 }, () => {
      const i = appended++
      return encodeEvent(['cart-1', 'cart-2', 'order-1', '$sys'][i % 4] as string, { type: `T${i % 3}` })
    })
    await store.writer.append({ events, conditions: [], kind: 'append' })
  }
  for (let i = 0; i < 40; i++) await append()
  const addresses: [string, (event: Shown) => boolean][] = [
    ['/streams/cart-1?limit=5', ({ stream }) => stream === 'cart-1'],
    ['/streams/cart-1?limit=3&type=T1', ({ stream, type }) => stream === 'cart-1' && type === 'T1'],
    ['/events?limit=16', ({ stream }) => stream !== '$sys'],
    ['/events?limit=9&system=true', () => true],
    ['/events?limit=4&category=cart', ({ stream }) => stream.startsWith('cart')],
    ['/events?limit=4&type=T1&type=T2', ({ stream, type }) => stream !== '$sys' && type !== 'T0'],
    ['/streams/$ce-order?limit=6', ({ stream }) => stream === 'order-1'],
    ['/streams/$et-T2?limit=6', ({ stream, type }) => stream !== '$sys' && type === 'T2'],
    ['/events?limit=5&stream=cart-2&stream=order-1', ({ stream }) => stream === 'cart-2' || stream === 'order-1'],
    [
      '/events?limit=5&type.regex=^T[02]$&stream.not=cart-1',
      (e) => e.stream !== '$sys' && e.stream !== 'cart-1' && e.type !== 'T1'
    ]
  ]
  for (const [address, belongs] of addresses) {
    const forward = await crawl(t, app, address, 'next', append, 60)
    await check(t, app, `${address} by next`, forward, belongs, 'asc')

    const last = store.log.head
    const backward = await crawl(t, app, `${address}&order=desc`, 'next', append, 60)
    await check(t, app, `${address}&order=desc by next`, backward, belongs, 'desc')

    // Start at a page in the middle: older and newer events together are all events.
    const half = Math.floor(last / 2)
    const middle = address.includes('/streams/') ? Math.floor(half / 12) : half
    const newer = await crawl(t, app, `${address}&from=${middle}`, 'newer', append, 60)
    const older = await crawl(t, app, `${address}&before=${middle}&order=desc`, 'older', append, 60)
    await check(t, app, `${address} from the middle both ways`, [...older.reverse(), ...newer], belongs, 'asc')

    // Follow links to a page, then back to the first page, and from there forward again to the last one.
    for (const order of ['asc', 'desc']) {
      let shown = await page(t, app, `${address}&order=${order}`)
      for (let pages = 4; pages > 0; pages--) shown = await page(t, app, shown.links.next as string)
      const back: Shown[] = []
      let first = shown
      while (first.links.older !== undefined) {
        first = await page(t, app, first.links.older)
        back.push(...first.events)
        if (back.length < 20) await append()
      }
      const forth = await crawl(t, app, first.links.newer, 'newer', append, 5)
      const begun = order === 'asc' ? shown.events : [...shown.events].reverse()
      const all = [...first.events].reverse().concat(forth)
      await check(t, app, `${address}&order=${order} back and forth`, all, belongs, 'asc')
      const before = all.filter(({ position }) => position < (begun[0] as Shown).position)
      t.same(
        back.reverse(),
        before,
        `${address}&order=${order}: older links lead to the events that next links had passed`
      )
    }
  }
})

type Move = 'newer' | 'older' | 'next' | 'prev' | 'first' | 'last'

t.test('the links of any page lead forward and back within the bounds and filters of the read', async (t) => {
  const random = seeded(t)
  const clock = { now: Date.parse('2026-11-23T10:00:00Z') }
  const steady = { now: () => clock.now, elapsed: () => performance.now(), after: () => () => {} }
  const { app } = await openApp(t, { clock: steady })
  const model = new PagedModel(app, random, clock)
  for (const stream of STREAMS) await model.append(stream, 12)
  for (let i = 0; i < 10; i++) await model.change()
  for (let crawl = 0; crawl < scaled(60) && t.passing(); crawl++) {
    const { asked, url } = chooseRead(model, random, clock.now)
    await wander(t, { app, model, random }, asked, url)
  }
})

/** Returns a random read of a stream or the log: with or without filter, bounds by cursor or time, in either order. */
function chooseRead(model: PagedModel, random: Random, now: number): { asked: PageQuery; url: string } {
  const stream = random.chance(0.5) ? random.pick(STREAMS) : undefined
  const place = ({ number, position }: PlacedEvent) => (stream === undefined ? position : number)
  const last = stream === undefined ? (model.log.at(-1)?.position ?? 0) : model.of(stream).length - 1
  const tests: ((event: PlacedEvent) => boolean)[] = []
  const query: string[] = []
  const bound = (parameter: string, value: string | number, test: (event: PlacedEvent) => boolean) => {
    query.push(`${parameter}=${value}`)
    tests.push(test)
  }
  const some = random.int(0, Math.floor(last / 2))
  const far = last + random.int(-5, 30)
  const minutes = random.int(0, 20)
  const old = now - minutes * 60_000
  const later = now + minutes * 60_000
  const text = (instant: number) => new Date(instant).toISOString()
  const lower = random.int(0, 5)
  if (lower === 1) bound('from', some, (event) => place(event) >= some)
  if (lower === 2) bound('after', some, (event) => place(event) > some)
  if (lower === 3) bound('from', text(old), ({ created }) => created >= old)
  if (lower === 4) bound('after', `-${minutes}m`, ({ created }) => created > old)
  if (lower === 5) bound('from', text(later), ({ created }) => created >= later)
  const upper = random.int(0, 5)
  if (upper === 1) bound('to', far, (event) => place(event) <= far)
  if (upper === 2) bound('before', far, (event) => place(event) < far)
  if (upper === 3) bound('to', text(later), ({ created }) => created <= later)
  if (upper === 4) bound('before', `-${minutes}m`, ({ created }) => created < old)
  if (upper === 5) bound('to', text(old), ({ created }) => created <= old)
  let matches = (_: PlacedEvent) => true
  if (random.chance(0.3)) {
    query.push('type=T1&type=T2')
    matches = ({ type }) => type !== 'T0'
  } else if (stream === undefined && random.chance(0.4)) {
    query.push('category=cart')
    matches = (event) => event.stream.startsWith('cart-')
  }
  query.push(`order=${random.pick(['asc', 'desc'])}`, `limit=${random.int(1, 6)}`)
  if (random.chance(0.5)) query.push('format=page')
  const asked = { stream, matches, within: (event: PlacedEvent) => tests.every((test) => test(event)) }
  return { asked, url: `${stream === undefined ? '/events' : `/streams/${stream}`}?${query.join('&')}` }
}

/** Follows random links, and compares each page with the current events of the model. */
async function wander(
  t: Test,
  { app, model, random }: { app: FastifyInstance; model: PagedModel; random: Random },
  asked: PageQuery,
  start: string
): Promise<void> {
  const limit = Number(/limit=(\d+)/.exec(start)?.[1])
  let url = start
  let order: string = /order=(asc|desc)/.exec(start)?.[1] ?? 'asc'
  let move: Move = order === 'asc' ? 'first' : 'last'
  // The lowest and highest cursor that the current page covers.
  let [oldest, newest] = [0, 0]
  const way: string[] = []
  for (let step = 0; step < 25; step++) {
    const place = ({ number, position }: { number: number; position: number }) =>
      asked.stream === undefined ? position : number
    const all = model.visible(asked)
    const wanted = {
      first: () => all.slice(0, limit),
      last: () => all.slice(-limit).reverse(),
      newer: () => all.filter((event) => place(event) > newest).slice(0, limit),
      older: () =>
        all
          .filter((event) => place(event) < oldest)
          .slice(-limit)
          .reverse(),
      next: () => (order === 'asc' ? wanted.newer() : wanted.older()),
      prev: () => (order === 'asc' ? wanted.older() : wanted.newer())
    }
    const answer = await app.inject(url)
    way.push(`${move}: ${url}`)
    if (answer.statusCode !== 200) return t.fail(`${way.join('\n')}\n${answer.body}`) as never
    const { events, links, cursor }: PageShown & { cursor: string } = answer.json()
    const shown = events.map(({ position }) => position)
    const same = t.same(
      shown,
      wanted[move]().map(({ position }) => position),
      `${start}, step ${step}, by ${move}`
    )
    if (!same) return t.comment(way.join('\n'))
    const before = [oldest, newest] as const
    order = /order=(asc|desc)/.exec(url)?.[1] ?? 'asc'
    const got = Number(cursor)
    const [least = Infinity, greatest = -1] = order === 'asc' ? events.map(place) : events.map(place).reverse()
    if (order === 'asc') newest = got
    else oldest = got
    // The other end is where the page continued, or else the bound: no event lies between it and the first shown event.
    if (order === 'asc') oldest = move === 'first' ? Math.min(least, got + 1) : before[1] + 1
    else newest = move === 'last' ? Math.max(events.map(place).at(0) ?? -1, got - 1) : before[0] - 1
    t.ok(greatest <= newest && least >= oldest, 'the events of a page are within its cursors')
    const linked: Record<string, string | undefined> = {}
    for (const [, target, relation] of String(answer.headers.link).matchAll(/<([^>]*)>; rel="(\w+)"/g)) {
      linked[relation as string] = target
    }
    t.equal(linked.next, links.next)
    t.ok(links.newer, 'every page has a newer link, for polling')
    const live = await app.inject(links.live.replace('live=true', 'format=ndjson'))
    const follow = model.visible(asked).filter((event) => place(event) > newest)
    t.same(
      live.body
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line).position),
      follow.map(({ position }) => position),
      'the live read starts after the page'
    )
    if (random.chance(0.5)) await model.change()
    const targets = { ...links, prev: linked.prev }
    const moves: Move[] = ['newer', 'older', 'next', 'prev', 'first', 'last']
    move = random.pick(moves.filter((one) => targets[one] !== undefined))
    url = targets[move] as string
  }
}

async function page(t: Test, app: FastifyInstance, url: string): Promise<PageShown> {
  const answer = await app.inject(url)
  if (answer.statusCode !== 200) t.fail(`${url}: ${answer.body}`)
  return answer.json()
}

/** Follows links of one relation to the last page. `newer` has no last page: stops at the first page without events. */
async function crawl(
  t: Test,
  app: FastifyInstance,
  start: string,
  link: 'next' | 'newer' | 'older',
  append: () => Promise<void>,
  appends: number
) {
  const met: Shown[] = []
  for (let url: string | undefined = start, pages = 0; url !== undefined; pages++) {
    if (pages < appends) await append()
    const { events, links }: PageShown = await page(t, app, url)
    met.push(...events)
    if (link === 'newer' && events.length === 0 && links.newer === url) break
    url = links[link]
    if (pages > 3000) return t.fail(`${start} has more than 3000 pages`) as never
  }
  return met
}

async function check(
  t: Test,
  app: FastifyInstance,
  what: string,
  met: Shown[],
  belongs: (event: Shown) => boolean,
  order: 'asc' | 'desc'
) {
  const positions = met.map(({ position }) => position)
  const sorted = [...positions].sort((one, other) => (order === 'asc' ? one - other : other - one))
  t.same(positions, sorted, `${what}: in order`)
  t.equal(new Set(positions).size, positions.length, `${what}: no event twice`)
  const newest = Math.max(...positions)
  const all = (await app.inject('/events?format=ndjson&system=true')).body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Shown)
  const wanted = all.filter((event) => belongs(event) && event.position <= newest).length
  t.equal(positions.length, wanted, `${what}: no event missed, up to the last one met`)
  t.ok(positions.length > 5, `${what}: it meets events`)
}
