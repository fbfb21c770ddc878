/** Limits of the dialect: excessive requests are rejected or truncated, and ordinary ones are not affected. */
import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { limits } from '../../src/limits.js'
import { append, listen, openApp } from '../helpers/app.js'
import { send } from '../helpers/http.js'

const ATOM = { accept: 'application/vnd.eventstore.atom+json' }

function postXml(app: FastifyInstance, data: string) {
  const payload = `<events><event><eventId>${randomUUID()}</eventId><eventType>T</eventType>${data}</event></events>`
  const headers = { 'content-type': 'application/vnd.eventstore.events+xml' }
  return app.inject({ method: 'POST', url: '/streams/s', headers, payload })
}

t.test('XML that is expensive to parse is rejected before it is parsed', async (t) => {
  const { app, store } = await openApp(t)
  const nested = (open: (i: number) => string, n: number) =>
    `<data>${Array.from({ length: n }, (_, i) => open(i)).join('')}${'</a>'.repeat(n)}</data>`
  const bombs: [string, string][] = [
    ['nested namespaces', nested((i) => `<a xmlns:p${i}="x">`, 30_000)],
    ['nested elements', nested(() => '<a>', 30_000)],
    ['nested elements, hidden by quotes', nested(() => '<a b="/>">', 200)],
    ['too many tags', `<data>${'<a/>'.repeat(100_001)}</data>`],
    ['too many attributes', `<data ${Array.from({ length: 100_001 }, (_, i) => `a${i}="1"`).join(' ')}/>`],
    ['an entity', '<data>&lol;</data>'],
    ['a body over the size limit', `<data>${' '.repeat(limits.xml_body_bytes_max)}</data>`]
  ]
  for (const [name, data] of bombs) t.equal((await postXml(app, data)).statusCode, 400, name)
  for (const type of ['<!DOCTYPE a [<!ENTITY e "x">]>', '<!doctype a SYSTEM "file:///etc/passwd">']) {
    const headers = { 'content-type': 'application/vnd.eventstore.events+xml' }
    const payload = `${type}<events><event><eventId>${randomUUID()}</eventId><eventType>T</eventType></event></events>`
    t.equal((await app.inject({ method: 'POST', url: '/streams/s', headers, payload })).statusCode, 400, type)
  }
  t.equal(store.log.head, -1, 'nothing is written')
  t.equal((await postXml(app, '<data><a xmlns:p="x" p:b="1">é</a></data>')).statusCode, 201, 'ordinary XML is accepted')
})

t.test('a batch may be larger than in the native form, up to a limit of its own', async (t) => {
  const { app, store } = await openApp(t)
  const batch = (count: number) =>
    JSON.stringify(Array.from({ length: count }, (_, i) => ({ eventId: randomUUID(), eventType: 'T', data: { i } })))
  const send = (payload: string) => {
    const headers = { 'content-type': 'application/vnd.eventstore.events+json' }
    return app.inject({ method: 'POST', url: '/streams/many', headers, payload })
  }
  const sent = batch(5000)
  t.ok(5000 > limits.batch_events_max)
  for (const time of ['first', 'second']) {
    const { statusCode, headers } = await send(sent)
    t.equal(statusCode, 201, `the ${time} time`)
    t.match(headers.location, /\/streams\/many\/0$/)
  }
  t.equal(store.log.head, 4999, 'each event is stored once')
  const { statusCode, statusMessage, body } = await send(batch(limits.dialect_batch_events_max + 1))
  t.equal(`${statusCode} ${statusMessage}`, '413 Too many events received')
  t.match(body, /more than 16384 events.*several requests.*Nothing was written/)
  t.equal(store.log.head, 4999)
})

t.test('data with too many elements gets a 406 as XML and is returned as JSON', async (t) => {
  const { app } = await openApp(t)
  const data = { a: Array.from({ length: limits.xml_nodes_max + 1 }, () => 0) }
  await append(app, 's', { type: 'T', data })
  for (const accept of ['text/xml', 'application/vnd.eventstore.event+xml', 'application/atom+xml']) {
    t.equal((await app.inject({ url: '/streams/s/0', headers: { accept } })).statusCode, 406, accept)
  }
  const feed = await app.inject({ url: '/streams/s?embed=content', headers: { accept: 'application/atom+xml' } })
  t.equal(feed.statusCode, 406)
  const json = await app.inject({ url: '/streams/s/0', headers: { accept: 'application/json' } })
  t.equal(json.json().a.length, data.a.length)
})

t.test('a feed does not indent very large data', async (t) => {
  const { app } = await openApp(t)
  const large = { text: 'x'.repeat(limits.laid_out_bytes_max) }
  await append(app, 's', [
    { type: 'T', data: { a: 1 } },
    { type: 'T', data: large }
  ])
  const { entries } = (await app.inject({ url: '/streams/s?embed=pretty', headers: ATOM })).json()
  t.equal(entries[0].data, JSON.stringify(large))
  t.match(entries[1].data, /\n/)
})

t.test('a client of the filtered log gets past very large events', async (t) => {
  const { app } = await openApp(t)
  const before = limits.page_bytes_max
  t.teardown(() => Object.assign(limits, { page_bytes_max: before }))
  Object.assign(limits, { page_bytes_max: 100_000 })
  for (let i = 0; i < 4; i++) {
    await append(
      app,
      's',
      Array.from({ length: 40 }, () => ({ type: 'Large', data: 'x'.repeat(3000) }))
    )
    await append(app, 's', { type: 'Small' })
  }
  const met: string[] = []
  const filter = 'context=eventtype&type=prefix&data=Small'
  let url: string | undefined = `/streams/$all/filtered/${'0'.repeat(32)}/forward/10?${filter}`
  while (url !== undefined) {
    const { statusCode, body } = await app.inject({ url, headers: ATOM })
    if (statusCode !== 200) throw new Error(body)
    const { entries, links } = JSON.parse(body)
    met.push(...entries.map(({ title }: { title: string }) => title).reverse())
    const previous = links.find(({ relation }: { relation: string }) => relation === 'previous')?.uri
    url = previous === undefined ? undefined : `${previous.replace(/^http:\/\/[^/]+/, '')}?${filter}`
    if (url?.startsWith(`/streams/%24all/filtered/${'0'.repeat(14)}A5`)) break // the head: position 165 after 164 events
  }
  t.same(met, ['40@s', '81@s', '122@s', '163@s'])
})

t.test('a filter with too many values is rejected, not truncated', async (t) => {
  const { app } = await openApp(t)
  const data = (count: number) => Array.from({ length: count }, (_, i) => `T${i}`).join(',')
  const url = '/streams/$all/filtered?context=eventtype&type=prefix&data='
  t.equal((await app.inject({ url: url + data(100), headers: ATOM })).statusCode, 200)
  t.equal((await app.inject({ url: url + data(101), headers: ATOM })).statusCode, 400)
})

t.test('a delete with the expected version -4 accepts a stream that only has metadata', async (t) => {
  const { app } = await openApp(t)
  const headers = { 'content-type': 'application/json', 'es-eventid': randomUUID() }
  await app.inject({ method: 'POST', url: '/streams/s/metadata', headers, payload: '{"$maxCount":1}' })
  const asked = { method: 'DELETE', url: '/streams/s', headers: { 'es-expectedversion': '-4' } } as const
  t.equal((await app.inject(asked)).statusCode, 204)
  t.equal((await app.inject({ ...asked, url: '/streams/never' })).statusCode, 400)
})

t.test('the dialect ignores query parameters that the native form rejects', async (t) => {
  const { app } = await openApp(t)
  const headers = { 'content-type': 'application/json', 'es-eventtype': 'T' }
  const asked = { method: 'POST', url: '/streams/s?format=json&x=1', headers, payload: '{}' } as const
  t.equal((await app.inject(asked)).statusCode, 201)
  t.equal((await app.inject({ method: 'DELETE', url: '/streams/s?format=json' })).statusCode, 204)
  const native = await append(app, 's?x=1', { type: 'T' })
  t.equal(native.statusCode, 201, 'a stream name may contain a question mark')
  const unknown = await app.inject({ ...asked, headers: { 'content-type': 'application/json', accept: '*/*' } })
  t.match(unknown.json(), { status: 400, code: 'unknown-parameter' })
})

t.test('tombstones are found by their event type', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  await app.inject({ method: 'DELETE', url: '/streams/s?permanent=true' })
  t.match((await app.inject('/events?type=$streamDeleted')).json().events, [{ stream: 's', type: '$streamDeleted' }])
})

t.test('a stopping server answers its waiting long polls', async (t) => {
  const { app, url, store } = await listen(t)
  await append(app, 's', { type: 'T' })
  const headers = { ...ATOM, 'es-longpoll': '3000' }
  const held = send(`${url}/streams/s/1/forward/10`, { headers })
  // Once this second request is answered, the server has received the first.
  await send(`${url}/streams/s`, {})
  await app.close()
  const { status, complete } = await held
  t.match([status, complete], [200, true])
  t.equal(store.status, 'closed')
})
