import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { openApp } from '../helpers/app.js'
import { encodeEvent } from '../helpers/events.js'

interface Shown {
  position: number
  stream: string
  type: string
}
interface PageShown {
  events: Shown[]
  links: { next?: string; newer: string; older?: string }
}

t.test('whoever follows links meets every event once, while another client appends', async (t) => {
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

    // From a page in the middle: older one way, newer the other, and together everything.
    const half = Math.floor(last / 2)
    const middle = address.includes('/streams/') ? Math.floor(half / 12) : half
    const newer = await crawl(t, app, `${address}&from=${middle}`, 'newer', append, 60)
    const older = await crawl(t, app, `${address}&before=${middle}&order=desc`, 'older', append, 60)
    await check(t, app, `${address} from the middle both ways`, [...older.reverse(), ...newer], belongs, 'asc')
  }
})

async function page(t: Test, app: FastifyInstance, url: string): Promise<PageShown> {
  const answer = await app.inject(url)
  if (answer.statusCode !== 200) t.fail(`${url}: ${answer.body}`)
  return answer.json()
}

/** Follows one link to its end; `newer` never ends, so it stops at the first page without events. */
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
    if (pages > 3000) return t.fail(`${start} has no end`) as never
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
  t.equal(new Set(positions).size, positions.length, `${what}: none twice`)
  const newest = Math.max(...positions)
  const all = (await app.inject('/events?format=ndjson&system=true')).body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Shown)
  const wanted = all.filter((event) => belongs(event) && event.position <= newest).length
  t.equal(positions.length, wanted, `${what}: none left out up to the last it met`)
  t.ok(positions.length > 5, `${what}: it met some`)
}
