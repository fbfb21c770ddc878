import t from 'tap'
import { append, openApp } from '../helpers/app.js'

t.test('an ETag changes with the head, answers 304 until then, and is a valid write condition', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', [{ type: 'T' }, { type: 'T' }])
  const first = await app.inject('/streams/s')
  const tag = first.headers.etag as string
  t.match(tag, /^"1;\w+"$/)
  const again = await app.inject({ url: '/streams/s', headers: { 'if-none-match': tag } })
  t.equal(again.statusCode, 304)
  t.equal(again.body, '')
  t.equal(again.headers.etag, tag)
  t.equal((await append(app, 's', { type: 'T' }, { 'if-match': tag })).statusCode, 201)
  t.equal((await app.inject({ url: '/streams/s', headers: { 'if-none-match': tag } })).statusCode, 200)
  t.equal((await append(app, 's', { type: 'T' }, { 'if-match': tag })).statusCode, 412)
  const event = await app.inject('/streams/s/0')
  t.equal(
    (await app.inject({ url: '/streams/s/0', headers: { 'if-none-match': `W/${event.headers.etag}` } })).statusCode,
    304
  )
})

t.test('a read limited by age has an ETag of its content, which changes as events age out', async (t) => {
  let now = Date.parse('2026-11-23T10:00:00Z')
  const clock = { now: () => now, elapsed: () => performance.now(), after: () => () => {} }
  const { app } = await openApp(t, { clock })
  await append(app, 's', { type: 'T' })
  for (const url of ['/streams/s?from=-1h', '/events?occurred.from=-1h']) {
    const get = (tag = '"x"') => app.inject({ url, headers: { 'if-none-match': tag } })
    const tag = (await get()).headers.etag as string
    t.equal((await get(tag)).statusCode, 304, url)
  }
  const tag = (await app.inject('/streams/s?from=-1h')).headers.etag as string
  now += 7_200_000
  const later = await app.inject({ url: '/streams/s?from=-1h', headers: { 'if-none-match': tag } })
  t.equal(later.statusCode, 200)
  t.same(later.json().events, [])
})

t.test('only a pinned page that can never change is immutable', async (t) => {
  const { app } = await openApp(t, { publicCache: true })
  await append(
    app,
    's',
    Array.from({ length: 30 }, () => ({ type: 'T' }))
  )
  const cache = async (url: string) => (await app.inject(url)).headers['cache-control'] as string
  t.match(await cache('/streams/s?from=0&limit=10&format=page'), /^public, max-age=31536000, immutable$/)
  t.match(await cache('/streams/s?before=20&order=desc&limit=10&format=page'), /immutable/)
  for (const open of [
    '/streams/s',
    '/streams/s?from=0&limit=10',
    '/streams/s?from=0&format=page',
    '/streams/s?limit=10&format=page',
    '/streams/s?from=25&limit=10&format=page',
    '/streams/s?from=0&limit=10&format=page&type=T',
    '/streams/s?order=desc&limit=10&format=page',
    '/streams/s?from=2020-01-01&limit=10&format=page'
  ]) {
    t.match(await cache(open), /no-cache/, open)
  }
  const pinned = await app.inject('/streams/s?from=0&limit=10&format=page')
  t.notOk('daybook-head' in pinned.headers, 'an immutable page names no head')
  t.equal((await app.inject('/streams/s')).headers['daybook-head'], '29')
})

t.test('HEAD returns the headers of GET without the body', async (t) => {
  const { app } = await openApp(t)
  await append(app, 's', { type: 'T' })
  for (const url of ['/streams/s', '/events', '/streams/s/0', '/info']) {
    const get = await app.inject(url)
    const head = await app.inject({ method: 'HEAD', url })
    t.equal(head.statusCode, 200, url)
    t.equal(head.body, '', url)
    for (const name of ['etag', 'content-type', 'daybook-head', 'link', 'content-length']) {
      t.equal(head.headers[name], get.headers[name], `${url}: ${name}`)
    }
  }
})

t.test('each content encoding has its own ETag, and answers 304 to it', async (t) => {
  const { app } = await openApp(t)
  await append(
    app,
    's',
    Array.from({ length: 50 }, () => ({ type: 'T', data: 'x'.repeat(100) }))
  )
  const plain = await app.inject('/streams/s')
  for (const encoding of ['gzip', 'br']) {
    const packed = await app.inject({ url: '/streams/s', headers: { 'accept-encoding': encoding } })
    t.equal(packed.headers['content-encoding'], encoding)
    t.not(packed.headers.etag, plain.headers.etag)
    t.match(packed.headers.vary, /accept-encoding/i)
    t.ok(packed.rawPayload.length < plain.rawPayload.length / 4)
    const again = await app.inject({
      url: '/streams/s',
      headers: { 'accept-encoding': encoding, 'if-none-match': packed.headers.etag as string }
    })
    t.equal(again.statusCode, 304)
  }
})

t.test('a link to a missing event is resolved as soon as the event exists', async (t) => {
  const { app } = await openApp(t)
  const link = { 'content-type': 'text/plain', 'event-type': '$>' }
  await app.inject({ method: 'POST', url: '/streams/m', headers: link, payload: '0@later' })
  await append(app, 'm', { type: 'T' })
  const urls = ['/streams/m', '/streams/m?from=0&limit=1&format=page', '/streams/m?embed=body', '/streams/m/0']
  const tags = new Map<string, string>()
  for (const url of urls) {
    for (let i = 0; i < 3; i++) {
      const { headers, body } = await app.inject(url)
      t.notMatch(body, /Target/, url)
      t.notMatch(headers['cache-control'], /immutable/, `${url} may change`)
      tags.set(url, String(headers.etag))
    }
  }
  await append(app, 'later', { type: 'Target' })
  for (const url of urls) {
    const headers = url.includes('embed') || url.endsWith('/0') ? {} : { 'if-none-match': tags.get(url) as string }
    const { statusCode, body } = await app.inject({ url, headers })
    t.equal(statusCode, 200, url)
    t.match(body, /Target/, url)
  }
})

t.test('the cache keeps a resolved link apart from the link itself', async (t) => {
  const { app } = await openApp(t)
  await append(app, 'target', { type: 'Target' })
  const link = { 'content-type': 'text/plain', 'event-type': '$>' }
  await app.inject({ method: 'POST', url: '/streams/l', headers: link, payload: '0@target' })
  for (let i = 0; i < 3; i++) {
    t.match((await app.inject('/streams/l/0?resolveLinks=false')).json(), { type: '$>' })
    t.match((await app.inject('/streams/l/0')).json(), { type: 'Target' })
  }
})

t.test('pages of the log are immutable only while no stream hides events', async (t) => {
  const { app } = await openApp(t)
  const url = '/events?from=0&limit=2&format=page'
  for (const stream of ['a', 'a', 'b']) await append(app, stream, { type: 'T' })
  t.match((await app.inject(url)).headers['cache-control'], /immutable/)
  const headers = { 'content-type': 'application/json' }
  await app.inject({ method: 'PUT', url: '/streams/a/metadata', headers, payload: '{"maxCount":2}' })
  t.notMatch((await app.inject(url)).headers['cache-control'], /immutable/)
  await append(app, 'a', { type: 'T' })
  t.same(
    (await app.inject(url)).json().events.map(({ position }: { position: number }) => position),
    [1, 2]
  )
})

t.test('forwarding headers never make the cache serve one stream the page of another', async (t) => {
  const { app } = await openApp(t, { trustProxy: true })
  await append(app, 'y', { type: 'OfY' })
  await append(app, 'x y', { type: 'OfXY' })
  for (const path of ['?embed=rich', '/0?embed=rich']) {
    for (let i = 0; i < 3; i++) {
      await app.inject({ url: `/streams/y${path}`, headers: { 'x-forwarded-prefix': '/p x' } })
    }
    const { body } = await app.inject({ url: `/streams/x%20y${path}`, headers: { 'x-forwarded-prefix': '/p' } })
    t.match(body, /OfXY/)
  }
  const strange = await app.inject({ url: '/streams/y', headers: { host: 'host x' } })
  t.match([strange.statusCode, strange.body], [400, /Host/])
})
