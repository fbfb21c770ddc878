/**
 * Pages of streams with truncated events (reference 7.2, 7.3). A client that follows links from any page reaches the
 * head and the oldest event. A client that polls a page meets all new events, even with a cache.
 */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { openApp } from '../helpers/app.js'
import { clock, event, FEED, metadata, post, write } from './requests.js'

interface Page {
  readonly numbers: number[]
  readonly head: boolean
  readonly links: Record<string, string>
  /** True when a cache may store the page for a year. */
  readonly lasting: boolean
}

/** A stream: its metadata, and its first visible number as a function of its last number. */
interface Retained {
  readonly name: string
  readonly events: number
  readonly document: object
  readonly first: (last: number) => number
}

const OLD = 6
const TOTALS = [1, 9]

const RETAINED: readonly Retained[] = TOTALS.flatMap((events) => [
  { name: 'whole', events, document: {}, first: () => 0 },
  ...[...new Set([1, 5, events, events + 1, events + 6])].map((cut) => ({
    name: `tb-${cut}`,
    events,
    document: { $tb: cut },
    first: () => cut
  })),
  { name: 'count', events, document: { $maxCount: 3 }, first: (last) => last - 2 },
  { name: 'both', events, document: { $maxCount: 4, $tb: 5 }, first: (last) => Math.max(5, last - 3) },
  { name: 'aged', events, document: { $maxAge: 30 }, first: () => Math.min(OLD, events) },
  { name: 'all-aged', events, document: { $maxAge: 30 }, first: () => events }
])

const streamOf = ({ name, events }: Retained) => `${name}-of-${events}`

let now = 0

/** Appends up to six events, lets a minute pass, and appends the others. */
async function fill(app: FastifyInstance, one: Retained): Promise<void> {
  const stream = streamOf(one)
  const old = one.name === 'all-aged' ? one.events : Math.min(OLD, one.events)
  const add = (count: number) =>
    post(
      stream,
      Array.from({ length: count }, () => event())
    )
  await write((now += 60), add(old))(app)
  const young = one.events > old ? [add(one.events - old)] : []
  await write((now += 60), ...young, metadata(stream, one.document))(app)
}

async function page(app: FastifyInstance, url: string): Promise<Page> {
  const { statusCode, headers, body } = await app.inject({ url, headers: { accept: FEED } })
  if (statusCode !== 200) throw new Error(`${url}: ${statusCode}`)
  const { entries, links, headOfStream } = JSON.parse(body)
  return {
    numbers: entries.map(({ title }: { title: string }) => Number(title.split('@', 1)[0])),
    head: headOfStream,
    links: Object.fromEntries(
      links.map(({ relation, uri }: { relation: string; uri: string }) => [
        relation,
        uri.replace(/^http:\/\/[^/]+/, '')
      ])
    ),
    lasting: String(headers['cache-control']).includes('31536000')
  }
}

/** Follows links of a relation from a page until there is none. @returns the numbers met, in the order of reading */
async function follow(t: Test, app: FastifyInstance, start: string, relation: 'next' | 'previous') {
  const met: number[] = []
  let last: Page | undefined
  let url: string | undefined = start
  for (let pages = 0; url !== undefined; url = last.links[relation]) {
    if (++pages > 40) {
      t.fail(`${start}: after ${pages} pages, ${relation} still links to ${url}`)
      break
    }
    last = await page(app, url)
    met.push(...(relation === 'previous' ? last.numbers.toReversed() : last.numbers))
  }
  return { met, last: last as Page }
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
}

t.test(
  'from any page, previous links reach the head and next links the oldest event, with each visible event once',
  async (t) => {
    const { app } = await openApp(t, { clock })
    for (const one of RETAINED) {
      await fill(app, one)
      const last = one.events - 1
      const first = Math.max(0, one.first(last))
      const url = `/streams/${streamOf(one)}`
      for (const count of [1, 3, 20]) {
        for (const from of range(0, last + 4)) {
          const forward = `${url}/${from}/forward/${count}`
          const up = await follow(t, app, forward, 'previous')
          t.strictSame(up.met, range(Math.max(first, from), last), `${forward} by previous`)
          t.ok(up.last.head && !up.last.lasting, `${forward}: the last page is the head, and a cache may not store it`)
          const backward = `${url}/${from}/backward/${count}`
          const down = await follow(t, app, backward, 'next')
          t.strictSame(down.met, range(first, Math.min(last, from)).toReversed(), `${backward} by next`)
          const leads = (await page(app, backward)).links.previous as string
          const back = await follow(t, app, leads, 'previous')
          t.strictSame(back.met, range(Math.max(first, Math.min(last, from) + 1), last), `${backward}, then previous`)
        }
        const head = await page(app, `${url}/head/backward/${count}`)
        const on = await follow(t, app, head.links.previous as string, 'previous')
        t.strictSame(on.met, [], `${url}: the head page links to no newer events`)
      }
    }
  }
)

t.test('a client with a cache that polls any page meets every new visible event', async (t) => {
  const { app } = await openApp(t, { clock })
  for (const one of RETAINED) {
    await fill(app, one)
    const stream = streamOf(one)
    const pollers = [1, 3, 5, 20].flatMap((count) =>
      [0, Math.floor(one.events / 2), one.events, one.events + 3].map((from) => new Poller(app, stream, from, count))
    )
    const appended = range(one.events, one.events + 11)
    for (const number of [one.events - 1, ...appended]) {
      if (number >= one.events) await app.inject(post(stream, [event()]))
      for (const poller of pollers) await poller.poll()
    }
    for (const { start, from, met } of pollers) {
      const wanted = appended.filter((number) => number >= Math.max(from, one.first(number)))
      t.strictSame(
        met.filter((number) => number >= one.events),
        wanted,
        start
      )
    }
  }
})

/** Follows `previous` links to the last page, and requests that page again at the next poll. */
class Poller {
  readonly start: string
  readonly from: number
  readonly met: number[] = []
  readonly #app: FastifyInstance
  readonly #cached = new Map<string, Page>()
  #url: string
  #newest = -1

  constructor(app: FastifyInstance, stream: string, from: number, count: number) {
    this.#app = app
    this.from = from
    this.start = `/streams/${stream}/${from}/forward/${count}`
    this.#url = this.start
  }

  async poll(): Promise<void> {
    for (let pages = 0; pages < 40; pages++) {
      const read = this.#cached.get(this.#url) ?? (await page(this.#app, this.#url))
      if (read.lasting) this.#cached.set(this.#url, read)
      for (const number of read.numbers.toReversed()) if (number > this.#newest) this.met.push((this.#newest = number))
      const { previous } = read.links
      if (previous === undefined) return
      this.#url = previous
    }
  }
}
