/**
 * Which callers may see consumers, live readers and event counts of others, and how many consumers one owner may have.
 */
import t from 'tap'
import { CONSUMER_DEFAULTS } from '../../src/consumers/consumer-definition.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { append, ask, listen, openApp } from '../helpers/app.js'
import { LiveBlocks, LiveSocket } from '../helpers/live-clients.js'
import { admin, bearer, makeToken, makeUser, ops } from '../helpers/people.js'

type Credentials = Record<string, string>

t.test('the metrics name consumers to operators and administrators only', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true })
  const ann = await makeUser(store, 'ann')
  await append(app, 's', { type: 'T' }, admin)
  await ask(app, 'PUT /consumers/xyzzy', ann, { source: '/events' })
  const token = bearer((await makeToken(store, 'admin', { read: ['*', '$*'] })).text)
  const rows: [string, Credentials, boolean][] = [
    ['an administrator', admin, true],
    ['an operator', ops, true],
    ['its owner', ann, false],
    ['no credentials', {}, false],
    ["an administrator's token", token, false]
  ]
  for (const [who, headers, named] of rows) {
    const { statusCode, body } = await ask(app, 'GET /metrics', headers)
    t.equal(statusCode, 200, who)
    t.equal(/daybook_consumer_lag_(events|seconds)\{consumer="xyzzy"\} \d/.test(body), named, who)
    t.equal(body.includes('xyzzy'), named, who)
    for (const name of ['daybook_appended_events_total', 'daybook_log_head', 'daybook_sign_in_failures_total']) {
      t.match(body, new RegExp(`^# HELP ${name} .*\\n# TYPE ${name} `, 'm'), `${who}: ${name}`)
    }
  }
})

t.test('a consumer of a deleted account does not belong to a later account of the same name', async (t) => {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + ahead }
  const directory = t.testdir({})
  const { app, store, url } = await listen(t, { insecure: false, anonymous: true, clock, directory })
  await append(app, 's', { type: 'T' }, admin)
  const first = await makeUser(store, 'ann')
  await ask(app, 'PUT /consumers/firsts', first, { source: '/streams/s' })
  t.equal((await ask(app, 'GET /consumers/firsts', first)).statusCode, 200)
  await ask(app, 'DELETE /users/ann', admin)
  ahead += 1000
  const second = await makeUser(store, 'ann')
  const closed = async (on: typeof app) => {
    for (const who of [second, {}]) {
      for (const [call, body] of [
        ['GET /consumers/firsts'],
        ['GET /consumers/firsts/events'],
        ['PUT /consumers/firsts', { source: '/streams/s' }],
        ['POST /consumers/firsts/ack', { cursor: '0', generation: 0 }],
        ['POST /consumers/firsts/reset', { to: 'end' }],
        ['DELETE /consumers/firsts']
      ] as [string, unknown?][]) {
        t.equal((await ask(on, call, who, body)).statusCode, who === second ? 403 : 401, call)
      }
      t.same((await ask(on, 'GET /consumers', who)).json().consumers, [])
    }
  }
  await closed(app)
  await t.rejects(LiveSocket.open(t, `${url}/streams/s?consumer=firsts`, second), /403/)
  await app.close()
  const again = await openApp(t, { insecure: false, anonymous: true, clock, directory })
  await closed(again.app)
  t.equal((await ask(again.app, 'DELETE /consumers/firsts', admin)).statusCode, 204, 'administrators can delete it')
  t.equal((await ask(again.app, 'PUT /consumers/firsts', second, { source: '/streams/s' })).statusCode, 201)
})

/** Defines consumers of one owner in the store, as if the owner had requested each. */
async function defineConsumers(store: Store, owner: string | undefined, count: number) {
  const ownerSince = owner === undefined ? undefined : store.accounts.get(owner)?.since
  const definition = { source: '/events', from: 'start', owner, ownerSince, settings: CONSUMER_DEFAULTS }
  for (let i = 0; i < count; i++) {
    await store.consumers.define({ ...definition, name: `${owner ?? 'nobody'}-${i}` }, async () => -1)
  }
}

t.test('one owner can have consumers_of_one_max consumers and no more, so that others can define theirs', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true, fsync: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  const make = async (name: string, who: Credentials) =>
    (await ask(app, `PUT /consumers/${name}`, who, { source: '/events' })).json()
  const most = limits.consumers_of_one_max
  t.ok(most < limits.consumers_max, 'one owner cannot take all')
  await defineConsumers(store, 'ann', most)
  const refused = { status: 409, code: 'limit-reached', limit: most }
  t.match(await make('one-more', ann), refused)
  t.equal((await make('ann-0', ann)).name, 'ann-0', 'an existing one is found')
  t.equal((await make('bobs', bob)).owner, 'bob', 'others can define theirs')
  t.equal((await make('anybodys', {})).name, 'anybodys', 'also without an account')
  await ask(app, 'DELETE /consumers/ann-0', ann)
  t.equal((await make('one-more', ann)).owner, 'ann', 'in the place of a deleted one')
  await defineConsumers(store, undefined, limits.consumers_max - most - 3)
  t.equal((await make('last', bob)).owner, 'bob')
  t.match(
    await make('beyond', bob),
    { status: 409, code: 'limit-reached', limit: limits.consumers_max },
    'the limit of all owners together'
  )
})

t.test('all callers without an account count as one owner', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true, fsync: false })
  const bob = await makeUser(store, 'bob')
  const most = limits.consumers_of_one_max
  await defineConsumers(store, undefined, most)
  const one = await ask(app, 'PUT /consumers/one-more', {}, { source: '/events' })
  t.match(one.json(), { status: 409, code: 'limit-reached', limit: most })
  t.equal((await ask(app, 'PUT /consumers/bobs', bob, { source: '/events' })).statusCode, 201)
})

t.test(
  'operators and administrators see all live readers; other callers see only those without an account',
  async (t) => {
    const { app, store, url } = await listen(t, { insecure: false, anonymous: true })
    const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
    await append(app, 's', { type: 'T' }, admin)
    const token = bearer((await makeToken(store, 'ann', { read: ['*'] })).text)
    await (await LiveSocket.open(t, `${url}/events?tag=anns`, ann)).untilFrame('subscribed')
    await (await LiveSocket.open(t, `${url}/events?tag=tokens`, token)).untilFrame('subscribed')
    await (await LiveSocket.open(t, `${url}/events?tag=admins`, admin)).untilFrame('subscribed')
    await (await LiveBlocks.open(t, `${url}/events?tag=nobodys`)).untilNamed('caughtUp')
    const ticket = (await ask(app, 'POST /tickets', ann, { source: '/events?tag=tickets' })).json().links.live
    await (await LiveBlocks.open(t, url + ticket)).untilNamed('caughtUp')
    const seen = async (who: Credentials) => {
      const { subscriptions } = (await ask(app, 'GET /consumers', who)).json()
      return subscriptions.map(({ source }: { source: string }) => /tag=(\w+)/.exec(source)?.[1]).sort()
    }
    const all = ['admins', 'anns', 'nobodys', 'tickets', 'tokens']
    t.same(await seen(admin), all)
    t.same(await seen(ops), all)
    for (const who of [{}, bob, ann, token]) t.same(await seen(who), ['nobodys'])
  }
)

t.test('without anonymous access, only operators and administrators see live readers', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await (await LiveSocket.open(t, `${url}/events`, ann)).untilFrame('subscribed')
  for (const who of [ann, bob]) t.same((await ask(app, 'GET /consumers', who)).json().subscriptions, [])
  t.equal((await ask(app, 'GET /consumers', ops)).json().subscriptions.length, 1)
})

t.test('the number of events is shown only to callers who may read events', async (t) => {
  for (const anonymous of [false, true]) {
    const { app, store } = await openApp(t, {
      insecure: false,
      anonymous,
      directory: t.testdir({ [`${anonymous}`]: {} })
    })
    const ann = await makeUser(store, 'ann')
    await append(app, 's', Array(20).fill({ type: 'T' }), admin)
    const { head } = store.log
    for (const [name, who, maySee] of [
      ['no credentials', {}, anonymous],
      ['an account', ann, true],
      ['an administrator', admin, true]
    ] as const) {
      const what = `${name}, ${anonymous ? '--anonymous=on' : '--anonymous=off'}`
      const info = (await ask(app, 'GET /info', who)).json()
      t.equal(info.head, maySee ? head : null, what)
      t.equal(info.log, store.log.id, `${what}: the id of the log is shown`)
      t.equal((await ask(app, 'GET /', who)).json().head, maySee ? head : null, what)
      const [member] = (await ask(app, 'GET /gossip', who)).json().members
      const end = maySee ? head + 1 : 0
      const wanted = { lastCommitPosition: end - 1, writerCheckpoint: end, chaserCheckpoint: end, state: 'Leader' }
      t.match(member, wanted, `${what}, by gossip`)
      for (const url of [
        '/readyz',
        '/livez',
        '/ping',
        '/health/live',
        '/metrics',
        '/stats',
        '/stats/tcp',
        '/events',
        '/streams',
        '/types'
      ]) {
        const { statusCode, headers, body } = await ask(app, `GET ${url}`, who)
        const text = `${body} ${headers['daybook-head']}`
        if (!maySee) t.notMatch(text, new RegExp(`\\b(${head}|${end})\\b`), `${what}: ${url}`)
        if (url === '/stats' && statusCode === 200) t.match(headers['cache-control'], 'private', url)
      }
    }
    await app.close()
  }
})

t.test('a caller who may not read a stream cannot read its rule, wherever it would be shown', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false, anonymous: true })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await append(app, 'xyzzy-1', { type: 'T' }, admin)
  await append(app, 'plain', { type: 'T' }, admin)
  await ask(app, 'PUT /streams/xyzzy-1/metadata', admin, { acl: { read: ['ann'] } })
  await ask(app, 'PUT /streams/plain/metadata', admin, { maxCount: 9 })
  const head = store.log.head
  const addresses = [
    ...['/streams/xyzzy-1/metadata', '/streams/$$xyzzy-1', '/streams/$$xyzzy-1/0', '/streams/$$xyzzy-1/head', '/streams/$$xyzzy-1/0/forward/5'],
    ...['/streams/$et-$metadata', '/streams/$et-$metadata/0/forward/20?embed=body', '/events?system=true', '/events?system=true&format=ndjson'],
    ...['/events?type=$metadata&system=true', '/streams?system=true', '/types', '/categories', '/streams/$ce-xyzzy', '/streams/$streams'],
    ...Array.from({ length: head + 1 }, (_, position) => `/events/${position}`)
  ] // biome-ignore format: a list
  const forms = ['*/*', 'application/json', 'application/vnd.eventstore.atom+json', 'application/atom+xml']
  for (const [name, who, isShown] of [
    ['nobody', {}, false],
    ['Bob', bob, false],
    ['Ann', ann, true]
  ] as const) {
    let shown = 0
    for (const address of addresses) {
      for (const accept of forms) {
        const { statusCode, body, headers } = await ask(app, `GET ${address}`, { accept, ...who })
        const text = `${body} ${headers.link ?? ''} ${headers.etag ?? ''}`.replaceAll(address, '')
        const isNamed = /xyzzy/.test(address) ? statusCode === 200 : text.includes('xyzzy')
        if (isNamed) shown++
        if (isNamed && !isShown) t.fail(`${name}: ${address} (${accept}): ${statusCode} ${text.slice(0, 300)}`)
      }
    }
    t.equal(shown > 20, isShown, name)
    const etag = await ask(app, 'GET /streams/xyzzy-1/metadata', { ...who, 'if-none-match': '*' })
    t.equal(etag.statusCode, isShown ? 304 : name === 'nobody' ? 401 : 403, `${name}: an ETag`)
    const conditions = [{ stream: '$$xyzzy-1', head: 'exists' }]
    const condition = await ask(app, 'POST /events', who, { events: [{ stream: 'plain', type: 'T' }], conditions })
    t.match(String(condition.statusCode), isShown ? /^201$|^400$/ : /^40[013]$/, `${name}: a condition`)
  }
  const live = await LiveSocket.open(t, `${url}/events?system=true`, bob)
  const types = await LiveSocket.open(t, `${url}/streams/$et-$metadata`, bob)
  for (const socket of [live, types]) await socket.untilFrame('caughtUp')
  await ask(app, 'PATCH /streams/xyzzy-1/metadata', admin, { cacheControl: 5 })
  await ask(app, 'PATCH /streams/plain/metadata', admin, { cacheControl: 5 })
  for (const socket of [live, types]) {
    await socket.until(
      'the metadata of the other stream',
      () => socket.events.filter(({ stream }) => stream === '$$plain').length === 2
    )
    t.notMatch(JSON.stringify(socket.all), 'xyzzy')
  }
  await t.rejects(LiveSocket.open(t, `${url}/streams/$$xyzzy-1`, bob), /403/)
  t.equal((await ask(app, 'PUT /consumers/c', bob, { source: '/streams/$$xyzzy-1' })).statusCode, 403)
  await ask(app, 'PATCH /streams/xyzzy-1/metadata', admin, { acl: { metadataRead: '$all' } })
  t.equal((await ask(app, 'GET /streams/xyzzy-1/metadata', bob)).statusCode, 200, 'unless the rule permits it')
})
