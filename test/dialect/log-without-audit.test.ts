/** Feeds of the dialect omit the audit records of the log. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, listen, openApp } from '../helpers/app.js'
import { admin } from '../helpers/people.js'

const FEED = 'application/vnd.eventstore.atom+json'

interface Page {
  readonly titles: string[]
  readonly links: Record<string, string>
}

async function page(app: FastifyInstance, url: string, headers: Record<string, string> = {}): Promise<Page> {
  const { statusCode, body } = await app.inject({ url, headers: { accept: FEED, ...admin, ...headers } })
  if (statusCode !== 200) throw new Error(`${url}: ${statusCode} ${body}`)
  const { entries, links } = JSON.parse(body)
  return {
    titles: entries.map(({ title }: { title: string }) => title),
    links: Object.fromEntries(
      links.map((one: { relation: string; uri: string }) => [one.relation, one.uri.replace(/^http:\/\/[^/]+/, '')])
    )
  }
}

const remove = (app: FastifyInstance, stream: string, hard: boolean) =>
  app.inject({
    method: 'DELETE',
    url: `/streams/${stream}`,
    headers: { accept: FEED, 'es-harddelete': String(hard), ...admin }
  })

t.test(
  'after a delete, the last event of $all is the delete itself, and every page has the requested length',
  async (t) => {
    const { app } = await openApp(t, { insecure: false })
    for (let i = 0; i < 8; i++) await append(app, `s-${i}`, { type: 'T' }, admin)
    const all = () => page(app, '/streams/$all')
    for (let i = 0; i < 6; i++) {
      t.equal((await remove(app, `s-${i}`, i % 2 === 0)).statusCode, 204)
      const [last] = (await page(app, '/streams/$all/head/backward/1')).titles
      t.equal(last, i % 2 === 0 ? `9223372036854775807@s-${i}` : `0@$$s-${i}`, `after the delete of s-${i}`)
    }
    const audited = await app.inject({ url: '/streams/$audit?limit=1&order=desc', headers: admin })
    t.match(audited.body, 'StreamDeleted', 'the audit log contains the delete')
    const whole = (await page(app, '/streams/$all/head/backward/100')).titles
    t.notMatch(whole.join(), '$audit')
    t.notMatch((await all()).titles.join(), '$audit')
    for (const count of [1, 2, 5]) {
      const down: string[] = []
      let url: string | undefined = `/streams/$all/head/backward/${count}`
      let oldest = url
      for (; url !== undefined; ) {
        const { titles, links } = await page(app, url)
        down.push(...titles)
        if (links.next !== undefined) t.equal(titles.length, count, `${url} is full`)
        oldest = url
        url = links.next
      }
      t.same(down, whole, `${count} at a time, by the link next`)
      const up: string[] = []
      url = (await page(app, oldest)).links.last ?? `/streams/$all/${'0'.repeat(32)}/forward/${count}`
      for (; url !== undefined; ) {
        const { titles, links } = await page(app, url)
        up.push(...titles.toReversed())
        url = links.previous
      }
      t.same(up.toReversed(), whole, `${count} at a time, by the link previous`)
    }
  }
)

t.test('filtered feeds omit audit records', async (t) => {
  const { app } = await openApp(t, { insecure: false })
  await append(app, 's-1', { type: 'T' }, admin)
  await remove(app, 's-1', true)
  for (const query of ['exclude-system-events=true', 'context=streamid&type=prefix&data=$audit,s-']) {
    const { titles } = await page(app, `/streams/$all/filtered?${query}`)
    t.notMatch(titles.join(), '$audit', query)
    t.match(titles.join(), '0@s-1', query)
  }
})

t.test('audit records do not wake a long poll at the end of $all', async (t) => {
  const { app } = await listen(t, { insecure: false })
  await append(app, 's-1', { type: 'T' }, admin)
  await append(app, 's-2', { type: 'T' }, admin)
  const { links } = await page(app, '/streams/$all/head/backward/5')
  await remove(app, 's-1', true)
  let url = links.previous as string
  const met: string[] = []
  for (let answers = 0; answers < 6; answers++) {
    const read = await page(app, url, { 'es-longpoll': '1' })
    met.push(...read.titles)
    if (read.links.previous === undefined) break
    url = read.links.previous
  }
  t.same(met, ['9223372036854775807@s-1'])
  const polled = page(app, url, { 'es-longpoll': '30' })
  await append(app, 's-2', { type: 'T' }, admin)
  t.same((await polled).titles, ['1@s-2'], 'the poll waits for the next event')
})
