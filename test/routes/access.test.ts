/** Access rules where they are asked for: reads of the log leave out, changes count at once, live readers are ended. */
import { request } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { type Clock, systemClock } from '../../src/clock.js'
import type { Store, StoreOptions } from '../../src/store.js'
import { serverEvent } from '../../src/streams/server-event.js'
import { append, listen, openApp } from '../helpers/app.js'
import { type Block, LiveBlocks, LiveLines, LiveSocket } from '../helpers/live-clients.js'
import { admin, basic, bearer, makeToken, makeUser, ops, SOMEBODY, setRules } from '../helpers/people.js'

/** A store with a user, and a stream that is only theirs among others. */
async function withAnn(
  t: Test,
  options: Partial<StoreOptions> = {}
): Promise<{ app: FastifyInstance; store: Store; url: string; ann: Who; bob: Who }> {
  const { app, store, url } = await listen(t, { insecure: false, ...options })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob', ['sales'])]
  await append(app, 'order-1', { type: 'Placed', tags: ['shared'] }, admin)
  await append(app, 'secret-1', { type: 'Whispered', tags: ['shared'] }, admin)
  await setRules(app, 'secret-1', { read: 'ann', write: 'ann' })
  return { app, store, url, ann, bob }
}

type Who = { authorization: string }
const streamsOf = (events: { stream: string }[]) => [...new Set(events.map(({ stream }) => stream))].sort()

t.test('of the log, of index streams and through filters everybody gets what they may read', async (t) => {
  const { app, ann, bob } = await withAnn(t)
  await append(app, 'secret-2', { type: 'Placed' }, admin)
  await setRules(app, 'secret-2', { read: [] })
  const seen = async (url: string, who: Who) => {
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
    t.notOk((await seen(url, ann)).includes('secret-2'), `${url}: Ann, of what nobody reads`)
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
    t.equal(statusCode, 404, `${url}: what lists nothing for Bob is not there`)
    t.match(JSON.parse(body), { code: 'stream-not-found', head: null }, url)
    t.notOk('daybook-head' in headers, url)
  }
  t.same(await seen('/events?system=true', bob), ['$$secret-1', '$$secret-2', 'order-1'], 'metadata has its own right')
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

t.test('the cursor moves on past what was left out', async (t) => {
  const { app, bob } = await withAnn(t)
  for (let i = 0; i < 30; i++) await append(app, 'secret-1', { type: 'Whispered' }, admin)
  await append(app, 'order-2', { type: 'Placed' }, admin)
  let url: string | undefined = '/events?limit=1'
  const met: string[] = []
  let cursor = -1
  while (url !== undefined) {
    const page: { events: { stream: string }[]; cursor: string; links: { next?: string } } = (
      await app.inject({ url, headers: bob })
    ).json()
    met.push(...page.events.map(({ stream }) => stream))
    t.ok(Number(page.cursor) > cursor || page.events.length === 0)
    cursor = Number(page.cursor)
    url = page.links.next
  }
  t.same(met, ['order-1', 'order-2'])
})

t.test('one event of the log is not there for who may not read it', async (t) => {
  const { app, store, bob, ann } = await withAnn(t)
  const { position } = (await append(app, 'secret-1', { type: 'Whispered' }, ann)).json().events[0]
  t.equal((await app.inject({ url: `/events/${position}`, headers: ann })).statusCode, 200)
  const refused = await app.inject({ url: `/events/${position}`, headers: { accept: '*/*', ...bob } })
  t.match(refused.json(), { status: 404, code: 'event-not-found' })
  t.equal((await app.inject({ url: '/streams/$et-Whispered/0', headers: { accept: '*/*', ...bob } })).statusCode, 404)
  t.ok(store.log.head >= position)
})

t.test('a changed rule counts for the next request, and for one whose body is still on its way', async (t) => {
  const { app, store, ann, bob } = await withAnn(t)
  t.equal((await append(app, 'secret-1', { type: 'T' }, bob)).statusCode, 403)
  await setRules(app, 'secret-1', { read: ['ann', 'sales'], write: ['ann', 'sales'] })
  t.equal((await append(app, 'secret-1', { type: 'T' }, bob)).statusCode, 201)
  t.equal((await app.inject({ url: '/streams/secret-1', headers: bob })).statusCode, 200)
  // The route lets it in; by the time it is planned the rule is another one.
  const { append: write } = store.writer
  let begun = () => {}
  const change = new Promise<void>((resolve) => {
    begun = resolve
  })
  store.writer.append = async (request) => {
    store.writer.append = write
    await setRules(app, 'secret-1', { read: 'ann', write: 'ann' })
    begun()
    return write.call(store.writer, request)
  }
  const late = await append(app, 'secret-1', { type: 'TooLate' }, bob)
  await change
  t.match(late.json(), { status: 403, code: 'not-permitted', written: false })
  const { events } = (await app.inject({ url: '/streams/secret-1', headers: ann })).json()
  t.notOk(events.some(({ type }: { type: string }) => type === 'TooLate'))
})

t.test(
  'of several streams in one append each must be theirs, and of conditions what they may read counts',
  async (t) => {
    const { app, bob } = await withAnn(t)
    const post = async (payload: object, who: Who) =>
      app.inject({
        method: 'POST',
        url: '/events',
        headers: { accept: '*/*', 'content-type': 'application/json', ...who },
        payload
      })
    const both = { events: [{ stream: 'order-1', type: 'T' }, { stream: 'secret-1', type: 'T' }] } // biome-ignore format: a list
    t.match((await post(both, bob)).json(), { status: 403, stream: 'secret-1', written: false })
    const guess = { events: [{ stream: 'order-1', type: 'T' }], conditions: [{ stream: 'secret-1', head: 5 }] }
    t.match((await post(guess, bob)).json(), { status: 403, code: 'not-permitted' }, 'no head is told')
    const items = [{ types: ['Whispered'] }]
    const consistent = {
      events: [{ stream: 'order-1', type: 'T' }],
      conditions: [{ failIfEventsMatch: { items }, after: -1 }]
    }
    t.equal((await post(consistent, admin)).statusCode, 412)
    t.equal((await post(consistent, bob)).statusCode, 201, 'what Bob cannot read cannot stand in his way')
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

t.test('$settings says what holds for streams without rules, from the next request on', async (t) => {
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
    t.equal((await app.inject({ url: `/streams/${own}`, headers: ops })).statusCode, 403, `${own} is no such stream`)
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
  t.equal((await append(app, 'order-1', { type: 'T' }, bob)).statusCode, 403, 'what makes no sense opens nothing')
  const forEver = await app.inject({ method: 'DELETE', url: '/streams/$settings?permanent=true', headers: admin })
  t.equal(forEver.statusCode, 400, 'they can always be given again')
  await app.inject({ method: 'DELETE', url: '/streams/$settings', headers: admin })
  t.equal((await append(app, 'order-1', { type: 'T' }, bob)).statusCode, 201, 'deleted: the built-in defaults')
})

t.test('the defaults and rules are the same after a restart', async (t) => {
  const directory = t.testdir({})
  const first = await openApp(t, { insecure: false, directory })
  const ann = await makeUser(first.store, 'ann')
  const { text } = await makeToken(first.store, 'ann', { read: ['*'] })
  const gone = await makeToken(first.store, 'ann', { read: ['*'] })
  await first.app.inject({ method: 'DELETE', url: `/tokens/${gone.id}`, headers: ann })
  await append(first.app, '$settings', { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } }, admin)
  await first.app.inject({ method: 'POST', url: '/users/ops/command/disable', headers: admin })
  await first.app.close()
  const { app } = await openApp(t, { insecure: false, directory })
  t.equal((await append(app, 's', { type: 'T' }, ann)).statusCode, 403)
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
  t.equal((await app.inject({ url: '/events', headers: bearer(gone.text) })).statusCode, 401)
  t.equal((await app.inject({ url: '/users/$current', headers: ops })).statusCode, 401)
  t.equal((await app.inject({ url: '/users/$current', headers: admin })).statusCode, 200)
})

t.test(
  'whatever is done to the streams they stand in, accounts, tokens and settings are as before a restart',
  async (t) => {
    const directory = t.testdir({})
    const first = await openApp(t, { insecure: false, directory })
    const people = ['kept', 'truncated', 'deleted', 'shown', 'returned', 'hidden', 'counted']
    for (const login of people) await makeUser(first.store, login)
    const { text } = await makeToken(first.store, 'kept', { read: ['*'] })
    const metadata = async (stream: string, document: object) => {
      const payload = { ...document }
      const headers = { ...admin, 'content-type': 'application/json' }
      const url = `/streams/${encodeURIComponent(stream)}/metadata`
      const { statusCode, body } = await first.app.inject({ method: 'PUT', url, headers, payload })
      if (statusCode > 201) throw new Error(body)
    }
    // Nobody can do so by a request.
    const remove = (stream: string) => first.store.writer.delete({ stream, expected: 'any', permanent: false })
    const settings = (data: object) => append(first.app, '$settings', { type: '$settings', data }, admin)
    await settings({ $userStreamAcl: { $w: '$admins' } })
    await settings({ $userStreamAcl: { $w: 'kept' } })
    await metadata('$settings', { truncateBefore: 1 })
    await metadata('$user-truncated', { truncateBefore: 7 })
    await metadata('$user-counted', { maxCount: 1 })
    const noted = [serverEvent('$user-counted', 'Noted', {})]
    await first.store.writer.append({ events: noted, conditions: [], mode: 'batch' })
    await metadata('$tokens', { truncateBefore: 100 })
    await metadata('$user-admin', { truncateBefore: 100 })
    await remove('$user-deleted')
    await metadata('$user-shown', { truncateBefore: 7 })
    await metadata('$user-shown', {})
    await metadata('$user-late', { truncateBefore: 7 })
    await makeUser(first.store, 'late')
    await remove('$user-hidden')
    await metadata('$user-hidden', { maxCount: 5 })
    await remove('$user-returned')
    await first.store.accounts.create(SOMEBODY, 'returned', { fullName: null, groups: null }, 'returned')
    const known = async ({ app }: { app: FastifyInstance }) => {
      const said: Record<string, number> = {}
      for (const login of [...people, 'late']) {
        const { statusCode } = await app.inject({ url: '/users/$current', headers: basic(login, login) })
        said[login] = statusCode
      }
      said.admin = (await app.inject({ url: '/users', headers: admin })).statusCode
      said.token = (await app.inject({ url: '/events', headers: bearer(text) })).statusCode
      said.settings = (await append(app, 's', { type: 'T' }, basic('kept', 'kept'))).statusCode
      said.others = (await append(app, 's', { type: 'T' }, basic('counted', 'counted'))).statusCode
      return said
    }
    const before = await known(first)
    t.same(before, {
      ...{ kept: 200, truncated: 401, deleted: 401, shown: 200, late: 401, returned: 200, hidden: 401, counted: 200 },
      ...{ admin: 200, token: 200, settings: 201, others: 403 }
    })
    await first.store.rules.load(first.store.reader)
    await first.store.accounts.load()
    await first.store.tokens.load()
    t.same(await known(first), before, 'read again')
    await first.app.close()
    t.same(await known(await openApp(t, { insecure: false, directory })), before, 'after a restart')
  }
)

t.test('a live reader whose right is taken away is closed, and sent nothing more', async (t) => {
  const { app, store, url, bob } = await withAnn(t)
  await setRules(app, 'secret-1', { read: ['ann', 'sales'] })
  const socket = await LiveSocket.open(t, `${url}/streams/secret-1`, bob)
  const stream = await LiveBlocks.open(t, `${url}/streams/secret-1`, bob)
  const lines = await LiveLines.open(t, `${url}/streams/secret-1?live=true`, bob)
  for (const reader of [socket, stream, lines]) await reader.untilEvents(1)
  await socket.until('it is live', (frames) => frames.some(({ frame }) => frame === 'caughtUp'))
  // Both in one go: the event is in the log before anybody can have looked.
  const rules = setRules(app, 'secret-1', { read: 'ann' })
  await Promise.all([rules, rules.then(() => append(app, 'secret-1', { type: 'Whispered' }, admin))])
  t.match(await socket.closed, { code: 4403, reason: 'not-permitted' })
  t.match(socket.all.at(-1), { frame: 'closing', code: 'not-permitted' })
  await stream.until('its end', (blocks: readonly Block[]) => blocks.some(({ event }) => event === 'closing'))
  await lines.until('its end', (all) => all.some((line) => line.includes('"problem"')))
  for (const reader of [socket, stream, lines]) t.equal(reader.events.length, 1, 'nothing that came after')
  t.equal(store.subscriptions.size, 0)
})

t.test('who reads live is closed when the account changes, or the token is revoked or over', async (t) => {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead }
  const { app, store, url, ann } = await withAnn(t, { clock })
  const { id, text } = await makeToken(store, 'ann', { read: ['*'] })
  const soon = await makeToken(store, 'ann', { read: ['*'] }, store.clock.now() + 3_600_000)
  const expiring = await LiveSocket.open(t, `${url}/events`, bearer(soon.text))
  const byToken = await LiveSocket.open(t, `${url}/events`, bearer(text))
  const byPassword = await LiveSocket.open(t, `${url}/events`, ann)
  ahead = 3_600_000
  t.match(await expiring.closed, { code: 4401 })
  await app.inject({ method: 'DELETE', url: `/tokens/${id}`, headers: ann })
  t.match(await byToken.closed, { code: 4401 })
  t.equal(store.subscriptions.size, 1, 'the account goes on')
  await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
  t.match(await byPassword.closed, { code: 4401 })
})

t.test('a reader of the log gets what becomes theirs, and no more what is theirs no more', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const [anns, bobs] = [await LiveSocket.open(t, `${url}/events?from=end`, ann), await LiveSocket.open(t, `${url}/events?from=end`, bob)] // biome-ignore format: two of a kind
  for (const reader of [anns, bobs]) await reader.until('live', (all) => all.some(({ frame }) => frame === 'caughtUp'))
  const whisper = (type: string) => append(app, 'secret-1', { type }, admin)
  await whisper('ToAnn')
  await setRules(app, 'secret-1', { read: 'bob' })
  await whisper('ToBob')
  await append(app, 'order-1', { type: 'Last' }, admin)
  for (const reader of [anns, bobs]) await reader.until('the last', () => reader.events.at(-1)?.type === 'Last')
  t.same(
    anns.events.map(({ type }) => type),
    ['ToAnn', 'Last']
  )
  t.same(
    bobs.events.map(({ type }) => type),
    ['ToBob', 'Last']
  )
})

t.test('a link is followed only by those who may read where it leads', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const link = { 'content-type': 'text/plain', 'event-type': '$>' }
  await append(app, 'links', '0@secret-1', { ...admin, ...link })
  const typesOf = async (who: Who) =>
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

t.test('a password that was right is remembered, and forgotten at once when the account changes', async (t) => {
  const { app, store, ann } = await withAnn(t)
  const who = async (headers: Who) => (await app.inject({ url: '/users/$current', headers })).statusCode
  t.equal(await who(ann), 200)
  const { verify } = store.accounts
  let hashed = 0
  store.accounts.verify = async (...words) => {
    hashed++
    return verify.apply(store.accounts, words)
  }
  for (let i = 0; i < 5; i++) t.equal(await who(ann), 200)
  t.equal(hashed, 0, 'no hash a request')
  await app.inject({
    method: 'POST',
    url: '/users/ann/command/reset-password',
    headers: admin,
    payload: { newPassword: 'new' }
  })
  t.equal(await who(ann), 401)
  t.equal(await who(basic('ann', 'new')), 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  t.equal(await who(basic('ann', 'new')), 401)
  await makeUser(store, 'ann')
  t.equal(await who(ann), 200, 'a new user')
})

t.test('a token of an account that was deleted is not one of the account that has its name now', async (t) => {
  const { app, store } = await withAnn(t)
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  await makeUser(store, 'ann')
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 401)
})

t.test('a consumer is its owner’s: others neither see nor move it', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const define = (name: string, source: string, headers: Who) =>
    app.inject({
      method: 'PUT',
      url: `/consumers/${name}`,
      headers: { accept: '*/*', ...headers },
      payload: { source }
    })
  t.equal((await define('anns', '/streams/secret-1', ann)).statusCode, 201)
  t.equal((await define('bobs', '/streams/secret-1', bob)).statusCode, 403, 'what Bob may not read')
  t.equal((await define('anns', '/streams/secret-1', bob)).statusCode, 403, 'Ann’s, also when it says the same')
  t.equal((await define('bobs', '/events', bob)).statusCode, 201)
  const named = async (headers: Who) =>
    (await app.inject({ url: '/consumers', headers })).json().consumers.map(({ name }: { name: string }) => name)
  t.same(await named(bob), ['bobs'])
  t.same(await named(ops), ['anns', 'bobs'])
  await t.rejects(LiveSocket.open(t, `${url}/events?consumer=bobs`, ann), /403/)
  const page = (await app.inject({ url: '/consumers/bobs/events', headers: bob })).json()
  t.same(streamsOf(page.events), ['order-1'], 'what Bob may read')
})

t.test('shared caches keep only what everybody may read', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, publicCache: true })
  for (const stream of ['open', 'closed']) {
    for (let i = 0; i < 3; i++) await append(app, stream, { type: 'T' })
  }
  await setRules(app, 'closed', { read: 'ops' })
  const page = async (stream: string) =>
    (await app.inject({ url: `/streams/${stream}?from=0&limit=2&format=page`, headers: ops })).headers
  t.match((await page('open'))['cache-control'], /^public, .*immutable/)
  t.match((await page('closed'))['cache-control'], /^private, /)
  t.match((await page('open')).vary, /Authorization/)
})

t.test('what was done to the store is in $audit, with who did it and from where', async (t) => {
  const { app, store, ann } = await withAnn(t)
  const json = { ...admin, 'content-type': 'application/json' }
  const post = (url: string, payload: object) => app.inject({ method: 'POST', url, headers: json, payload })
  await post('/users', { loginName: 'eve', fullName: 'Eve', groups: [], password: 'hunter2' })
  await app.inject({ method: 'PUT', url: '/users/eve', headers: json, payload: { groups: ['x'] } })
  await post('/users/eve/command/disable', {})
  await post('/users/eve/command/reset-password', { newPassword: 'hunter3' })
  await app.inject({ method: 'DELETE', url: '/users/eve', headers: admin })
  const { token } = (await post('/tokens', { name: 'ci', read: ['*'] })).json()
  await append(app, '$settings', { type: '$settings', data: {} }, admin)
  await app.inject({ method: 'DELETE', url: '/streams/order-1', headers: ann })
  await app.inject({ url: '/events', headers: basic('ann', 'guess') })
  await app.inject({ url: '/events', headers: basic('hunter2', 'typed in the wrong place') })
  await store.failures.tell()
  const { events } = (await app.inject({ url: '/streams/$audit?limit=1000', headers: admin })).json()
  const told = events.map(({ type, data: { who } }: { type: string; data: { who: string | null } }) => `${type} ${who}`)
  t.same(told.slice(told.indexOf('AccessRuleChanged admin')), [
    'AccessRuleChanged admin',
    'UserCreated admin',
    'UserUpdated admin',
    'UserDisabled admin',
    'PasswordReset admin',
    'UserDeleted admin',
    'TokenCreated admin',
    'AccessRuleChanged admin',
    'StreamDeleted ann',
    'SignInFailed ann',
    'SignInFailed null'
  ])
  t.match(events.at(-3).data, { who: 'ann', by: 'password', from: '127.0.0.1', requestId: String, stream: 'order-1' })
  for (const secret of ['hunter2', 'hunter3', 'guess', token.split('.')[1]]) t.notMatch(JSON.stringify(events), secret)
  t.equal((await app.inject({ url: '/streams/$audit', headers: ann })).statusCode, 403, 'for administrators alone')
})

t.test('what waits for a slow reader is looked at again when rules change', async (t) => {
  const { app, url, ann } = await withAnn(t)
  const reader = await LiveSocket.open(t, `${url}/events?from=end&credit=1`, ann)
  await reader.until('live', (all) => all.some(({ frame }) => frame === 'caughtUp'))
  for (let i = 0; i < 3; i++) await append(app, 'secret-1', { type: `Whispered${i}` }, admin)
  await append(app, 'order-1', { type: 'Last' }, admin)
  await reader.untilEvents(1)
  await setRules(app, 'secret-1', { read: 'bob' })
  reader.socket.send(JSON.stringify({ frame: 'credit', events: 10 }))
  await reader.until('the last', () => reader.events.at(-1)?.type === 'Last')
  t.same(
    reader.events.map(({ type }) => type),
    ['Whispered0', 'Last']
  )
})

t.test('a streamed write ends when its account is no more', async (t) => {
  const { app, url, ann } = await withAnn(t)
  const headers = { ...ann, 'content-type': 'application/x-ndjson' }
  const line = (type: string) => `${JSON.stringify({ stream: 'order-9', type })}\n`
  const lines: string[] = []
  const ended = new Promise<void>((resolve, reject) => {
    const sent = request(`${url}/events?batch=1`, { method: 'POST', headers }, (response) => {
      response.setEncoding('utf8')
      response.on('data', async (text: string) => {
        lines.push(...text.trim().split('\n'))
        if (lines.length > 1) return
        await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
        sent.end(line('TooLate'))
      })
      response.on('end', resolve)
    })
    sent.on('error', reject)
    sent.write(line('InTime'))
  })
  await ended
  t.match(
    lines.map((text) => JSON.parse(text)),
    [{ receipt: { appended: 1 } }, { problem: { code: 'sign-in-required' } }]
  )
  const { events } = (await app.inject({ url: '/streams/order-9', headers: admin })).json()
  t.equal(events.length, 1)
})
