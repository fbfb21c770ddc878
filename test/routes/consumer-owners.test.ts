/** Whose consumers are, and who is told of them and of those who read live. */
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, asJson, makeUser, ops, type Who, withAnn } from '../helpers/people.js'

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
  t.same(
    page.events.map(({ stream }: { stream: string }) => stream),
    ['order-1'],
    'what Bob may read'
  )
})

t.test('a consumer of an account that was deleted is not the one’s who has its name now', async (t) => {
  const { app, store, ann } = await withAnn(t)
  const payload = { source: '/events' }
  await app.inject({ method: 'PUT', url: '/consumers/anns', headers: asJson(ann), payload })
  const statusOf = async (who: Who, method: 'GET' | 'DELETE' = 'GET') =>
    (await app.inject({ method, url: '/consumers/anns', headers: asJson(who) })).statusCode
  t.equal(await statusOf(ann), 200)
  await app.inject({ method: 'DELETE', url: '/users/ann', headers: admin })
  const again = await makeUser(store, 'ann')
  t.equal(await statusOf(again), 403)
  t.equal(await statusOf(again, 'DELETE'), 403)
  t.same((await app.inject({ url: '/consumers', headers: again })).json().consumers, [])
  t.equal(await statusOf(admin), 200)
})

t.test('what was made without an account is everybody’s where none is needed, elsewhere administrators’', async (t) => {
  const directory = t.testdir({})
  const first = await openApp(t, { insecure: false, anonymous: true, directory })
  const bob = await makeUser(first.store, 'bob')
  const payload = { source: '/events' }
  const made = await first.app.inject({ method: 'PUT', url: '/consumers/free', headers: asJson(), payload })
  t.equal(made.statusCode, 201)
  const statusOf = async ({ app }: typeof first, who: object) =>
    (await app.inject({ url: '/consumers/free', headers: asJson(who) })).statusCode
  for (const who of [{}, bob, admin]) t.equal(await statusOf(first, who), 200)
  await first.app.close()
  const second = await openApp(t, { insecure: false, directory })
  t.equal(await statusOf(second, {}), 401)
  t.equal(await statusOf(second, bob), 403)
  t.equal(await statusOf(second, admin), 200)
})

t.test(
  'who reads live what is told to operators; to others, who reads without an account where none is needed',
  async (t) => {
    const { app, url, ann, bob } = await withAnn(t)
    await LiveSocket.open(t, `${url}/streams/secret-1`, ann)
    const told = async (on: typeof app, who: object) =>
      (await on.inject({ url: '/consumers', headers: asJson(who) })).json().subscriptions.length
    t.equal(await told(app, bob), 0)
    t.equal(await told(app, ann), 0)
    t.equal(await told(app, ops), 1)
    t.equal(await told(app, admin), 1)
  }
)

t.test('what is counted by a consumer’s name is told to operators alone', async (t) => {
  const { app, ann, bob } = await withAnn(t)
  await app.inject({ method: 'PUT', url: '/consumers/xyzzy', headers: asJson(ann), payload: { source: '/events' } })
  await append(app, 'order-1', { type: 'T' }, admin)
  const metrics = async (who: object) => (await app.inject({ url: '/metrics', headers: asJson(who) })).body
  for (const who of [ops, admin]) t.match(await metrics(who), /daybook_consumer_lag_events\{consumer="xyzzy"\} \d/)
  for (const who of [ann, bob]) {
    const text = await metrics(who)
    t.match(text, /daybook_log_head \d/)
    t.notMatch(text, /xyzzy/)
  }
})
