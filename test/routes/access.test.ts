/** Access rules on reads and writes: hidden events are left out, and a changed rule takes effect at once. */
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import {
  admin,
  asJson,
  bearer,
  type Credentials,
  makeToken,
  makeUser,
  ops,
  setRules,
  withAnn
} from '../helpers/people.js'

const streamsOf = (events: { stream: string }[]) => [...new Set(events.map(({ stream }) => stream))].sort()

t.test('reads of the log, index streams and filters return only events that the caller may read', async (t) => {
  const { app, ann, bob } = await withAnn(t)
  await append(app, 'secret-2', { type: 'Placed' }, admin)
  await setRules(app, 'secret-2', { read: [] })
  const seen = async (url: string, who: Credentials) => {
    const { statusCode, body } = await app.inject({ url, headers: who })
    if (statusCode !== 200) throw new Error(`${url}: ${body}`)
    const events = body.startsWith('{"id"')
      ? body
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
      : JSON.parse(body).events
    return streamsOf(events)
  }
  for (const url of [
    '/events',
    '/events?format=ndjson',
    '/events?order=desc',
    '/events?truncated=true',
    '/events?tag=shared',
    '/events?type=Placed&type=Whispered',
    '/events?stream.prefix=order&stream.prefix=secret',
    '/events?category=order&category=secret'
  ]) {
    t.same(await seen(url, bob), ['order-1'], `${url}: Bob`)
    t.ok((await seen(url, ann)).includes('secret-1'), `${url}: Ann`)
    t.notOk((await seen(url, ann)).includes('secret-2'), `${url}: Ann, a stream that nobody may read`)
  }
  t.same(await seen('/streams/$et-Placed', bob), ['order-1'])
  t.same(await seen('/streams/$et-Placed', admin), ['order-1', 'secret-2'])
  for (const url of [
    '/streams/$ce-secret',
    '/streams/$et-Whispered',
    '/streams/$et-Whispered/0',
    '/streams/$ce-none'
  ]) {
    const { statusCode, body, headers } = await app.inject({ url, headers: { accept: '*/*', ...bob } })
    t.equal(statusCode, 404, `${url}: an index stream without entries for Bob answers 404`)
    t.match(JSON.parse(body), { code: 'stream-not-found', head: null }, url)
    t.notOk('daybook-head' in headers, url)
  }
  t.same(await seen('/events?system=true', bob), ['order-1'], 'the access rules of a stream are hidden with the stream')
  t.same(await seen('/events?system=true', ann), ['$$secret-1', 'order-1', 'secret-1'])
  const { streams } = (await app.inject({ url: '/streams', headers: bob })).json()
  t.same(
    streams.map(({ stream }: { stream: string }) => stream),
    ['order-1']
  )
  const { types } = (await app.inject({ url: '/types', headers: bob })).json()
  const own = types.filter(({ name }: { name: string }) => !name.startsWith('$'))
  t.match(own, [{ name: 'Placed', events: 1 }])
  t.equal(own.length, 1)
  const { categories } = (await app.inject({ url: '/categories', headers: ann })).json()
  t.match(categories, [
    { name: 'order', events: 1 },
    { name: 'secret', events: 1 }
  ])
})

t.test('the cursor moves past hidden events', async (t) => {
  const { app, bob } = await withAnn(t)
  for (let i = 0; i < 30; i++) await append(app, 'secret-1', { type: 'Whispered' }, admin)
  await append(app, 'order-2', { type: 'Placed' }, admin)
  let url: string | undefined = '/events?limit=1'
  const streams: string[] = []
  let cursor = -1
  while (url !== undefined) {
    const page: { events: { stream: string }[]; cursor: string; links: { next?: string } } = (
      await app.inject({ url, headers: bob })
    ).json()
    streams.push(...page.events.map(({ stream }) => stream))
    t.ok(Number(page.cursor) > cursor || page.events.length === 0)
    cursor = Number(page.cursor)
    url = page.links.next
  }
  t.same(streams, ['order-1', 'order-2'])
})

t.test('a single event of the log answers 404 to a caller who may not read its stream', async (t) => {
  const { app, store, bob, ann } = await withAnn(t)
  const { position } = (await append(app, 'secret-1', { type: 'Whispered' }, ann)).json().events[0]
  t.equal((await app.inject({ url: `/events/${position}`, headers: ann })).statusCode, 200)
  const refused = await app.inject({ url: `/events/${position}`, headers: { accept: '*/*', ...bob } })
  t.match(refused.json(), { status: 404, code: 'event-not-found' })
  t.equal((await app.inject({ url: '/streams/$et-Whispered/0', headers: { accept: '*/*', ...bob } })).statusCode, 404)
  t.ok(store.log.head >= position)
})

t.test(
  'an append to several streams needs the right to write each of them; its conditions ignore hidden events',
  async (t) => {
    const { app, bob } = await withAnn(t)
    const post = async (payload: object, who: Credentials) =>
      app.inject({
        method: 'POST',
        url: '/events',
        headers: { accept: '*/*', 'content-type': 'application/json', ...who },
        payload
      })
    const both = { events: [{ stream: 'order-1', type: 'T' }, { stream: 'secret-1', type: 'T' }] } // biome-ignore format: a list
    t.match((await post(both, bob)).json(), { status: 403, stream: 'secret-1', written: false })
    const guess = { events: [{ stream: 'order-1', type: 'T' }], conditions: [{ stream: 'secret-1', head: 5 }] }
    t.match((await post(guess, bob)).json(), { status: 403, code: 'not-permitted' }, 'the head is not revealed')
    const items = [{ types: ['Whispered'] }]
    const consistent = {
      events: [{ stream: 'order-1', type: 'T' }],
      conditions: [{ failIfEventsMatch: { items }, after: -1 }]
    }
    t.equal((await post(consistent, admin)).statusCode, 412)
    t.equal((await post(consistent, bob)).statusCode, 201, 'events that Bob cannot read do not fail his condition')
    const lines = `${JSON.stringify({ stream: 'order-1', type: 'A' })}\n${JSON.stringify({ stream: 'secret-1', type: 'B' })}\n`
    const streamed = await app.inject({
      method: 'POST',
      url: '/events',
      headers: { 'content-type': 'application/x-ndjson', ...bob },
      payload: lines
    })
    t.match(
      streamed.body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
      [{ receipt: { lines: 1, appended: 1 } }, { problem: { code: 'not-permitted', line: 2 } }]
    )
  }
)

t.test('$settings sets the default access rules of streams, from the next request on', async (t) => {
  const { app, bob } = await withAnn(t)
  const settings = async (data: object | string) => {
    const answer = await append(app, '$settings', { type: '$settings', data }, admin)
    if (answer.statusCode !== 201) throw new Error(answer.body)
  }
  t.equal((await append(app, '$settings', { type: '$settings', data: {} }, bob)).statusCode, 403)
  await settings({ $userStreamAcl: { $r: ['sales'], $w: '$admins' }, $systemStreamAcl: { $r: '$ops' } })
  t.equal((await app.inject({ url: '/streams/order-1', headers: bob })).statusCode, 200)
  t.equal((await app.inject({ url: '/streams/order-1', headers: ops })).statusCode, 403)
  t.equal((await append(app, 'order-1', { type: 'T' }, bob)).statusCode, 403)
  await append(app, '$notes', { type: 'Noted' }, admin)
  t.equal((await app.inject({ url: '/streams/$notes', headers: ops })).statusCode, 200)
  for (const own of ['$settings', '$users', '$user-ann', '$tokens', '$audit', '$consumers']) {
    t.equal(
      (await app.inject({ url: `/streams/${own}`, headers: ops })).statusCode,
      403,
      `${own} ignores $systemStreamAcl`
    )
  }
  t.same((await app.inject({ url: '/events', headers: ops })).json().events, [])
  for (const nonsense of [
    'nonsense',
    5,
    [],
    { $userStreamAcl: 5 },
    { $userStreamAcl: { $r: 7 } },
    { $userStreamAcl: { read: '$admins' } },
    { userStreamAcl: { $r: '$admins' } }
  ]) {
    const refused = await append(app, '$settings', { type: '$settings', data: nonsense }, admin)
    t.match(refused.json(), { status: 400, code: 'invalid-event' }, JSON.stringify(nonsense))
  }
  t.equal((await append(app, 'order-1', { type: 'T' }, bob)).statusCode, 403, 'invalid settings change nothing')
  const forEver = await app.inject({ method: 'DELETE', url: '/streams/$settings?permanent=true', headers: admin })
  t.equal(forEver.statusCode, 400, '$settings cannot be deleted permanently')
  await app.inject({ method: 'DELETE', url: '/streams/$settings', headers: admin })
  t.equal(
    (await append(app, 'order-1', { type: 'T' }, bob)).statusCode,
    201,
    'deleting $settings restores the built-in defaults'
  )
})

t.test('a link is resolved only for callers who may read its target', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const link = { 'content-type': 'text/plain', 'event-type': '$>' }
  await append(app, 'links', '0@secret-1', { ...admin, ...link })
  const typesOf = async (who: Credentials) =>
    (await app.inject({ url: '/streams/links', headers: who })).json().events.map(({ type }: { type: string }) => type)
  t.same(await typesOf(ann), ['Whispered'])
  t.same(await typesOf(bob), ['$>'])
  const live = await LiveSocket.open(t, `${url}/streams/links`, bob)
  await live.untilEvents(1)
  await append(app, 'links', '0@secret-1', { ...admin, ...link })
  await live.untilEvents(2)
  t.same(
    live.events.map(({ type }) => type),
    ['$>', '$>']
  )
  const atom = { accept: 'application/vnd.eventstore.atom+json' }
  const feed = await app.inject({ url: '/streams/links?embed=body', headers: { ...atom, ...bob } })
  t.notMatch(feed.body, /Whispered/)
})

t.test('the right to delete is separate from the right to append', async (t) => {
  const { app, ann, bob } = await withAnn(t)
  await setRules(app, 'order-1', { write: 'ann', delete: 'bob' })
  const remove = async (who: Credentials) =>
    (await app.inject({ method: 'DELETE', url: '/streams/order-1', headers: asJson(who) })).statusCode
  t.equal((await append(app, 'order-1', { type: 'T' }, bob)).statusCode, 403)
  t.equal(await remove(ann), 403)
  t.equal((await append(app, 'order-1', { type: 'T' }, ann)).statusCode, 201)
  t.equal(await remove(bob), 204)
})

t.test(
  'a native rule without metadataWrite and delete grants both to its writers, else its readers, else administrators',
  async (t) => {
    const { app, ann, bob } = await withAnn(t)
    const write = async (method: 'PUT' | 'PATCH', stream: string, acl: object, who: Credentials) => {
      const url = `/streams/${stream}/metadata`
      return (await app.inject({ method, url, headers: asJson(who), payload: { acl } })).statusCode
    }
    const lifts = async (stream: string, who: Credentials) => {
      const removed = await app.inject({ method: 'DELETE', url: `/streams/${stream}`, headers: asJson(who) })
      return [await write('PATCH', stream, { read: '$all' }, who), removed.statusCode]
    }
    for (const method of ['PUT', 'PATCH'] as const) {
      await append(app, `${method}-w`, { type: 'T' }, admin)
      await write(method, `${method}-w`, { read: '$all', write: 'ann' }, admin)
      t.same(await lifts(`${method}-w`, bob), [403, 403], `${method}: may not write`)
      t.same(await lifts(`${method}-w`, ann), [200, 204], `${method}: may write`)
      await append(app, `${method}-r`, { type: 'T' }, admin)
      await write(method, `${method}-r`, { read: 'ann' }, admin)
      t.same(await lifts(`${method}-r`, bob), [403, 403], `${method}: may not read`)
      t.same(await lifts(`${method}-r`, ann), [200, 204], `${method}: may read`)
      await append(app, `${method}-m`, { type: 'T' }, admin)
      await write(method, `${method}-m`, { metadataRead: 'ann' }, admin)
      t.same(await lifts(`${method}-m`, ann), [403, 403], `${method}: Ann is named for neither reading nor writing`)
    }
  }
)

t.test('events that truncation hides from their stream are shown to administrators only', async (t) => {
  const { app, bob } = await withAnn(t)
  await append(app, 'order-1', { type: 'New' }, admin)
  const payload = { truncateBefore: 1 }
  await app.inject({ method: 'PATCH', url: '/streams/order-1/metadata', headers: asJson(admin), payload })
  const types = async (who: Credentials) =>
    (await app.inject({ url: '/events?truncated=true&stream=order-1', headers: who }))
      .json()
      .events.map(({ type }: { type: string }) => type)
  t.same(await types(admin), ['Placed', 'New'])
  t.same(await types(bob), ['New'])
})

t.test('without access rules on streams, listings follow the default rules and the scope of the token', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await append(app, 'order-1', { type: 'Placed' }, admin)
  await append(app, 'secret-1', { type: 'Whispered' }, admin)
  const { text } = await makeToken(store, 'ann', { read: ['order-*'] })
  const names = async (url: '/types' | '/categories', who: Credentials) =>
    (await app.inject({ url, headers: who }))
      .json()
      [url.slice(1)].map(({ name }: { name: string }) => name)
      .filter((name: string) => !name.startsWith('$'))
  t.same(await names('/types', ann), ['Placed', 'Whispered'])
  t.same(await names('/types', bearer(text)), ['Placed'])
  t.same(await names('/categories', bearer(text)), ['order'])
  const data = { $userStreamAcl: { $r: 'ann' } }
  await append(app, '$settings', { type: '$settings', data }, admin)
  for (const url of ['/types', '/categories'] as const) {
    t.same(await names(url, bob), [], `${url}: Bob`)
    t.equal((await names(url, ann)).length, 2, `${url}: Ann`)
  }
})
