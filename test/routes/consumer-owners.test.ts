/** Ownership of consumers: which callers may list, define and read them. */
import t from 'tap'
import { openApp } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, asJson, type Credentials, makeUser, ops, withAnn } from '../helpers/people.js'

t.test('a consumer is private to its owner, except that operators see it in the listing', async (t) => {
  const { app, url, ann, bob } = await withAnn(t)
  const define = (name: string, source: string, headers: Credentials) =>
    app.inject({
      method: 'PUT',
      url: `/consumers/${name}`,
      headers: { accept: '*/*', ...headers },
      payload: { source }
    })
  t.equal((await define('anns', '/streams/secret-1', ann)).statusCode, 201)
  t.equal((await define('bobs', '/streams/secret-1', bob)).statusCode, 403, 'Bob may not read the source')
  t.equal(
    (await define('anns', '/streams/secret-1', bob)).statusCode,
    403,
    'Ann owns it, even if the definition is the same'
  )
  t.equal((await define('bobs', '/events', bob)).statusCode, 201)
  const named = async (headers: Credentials) =>
    (await app.inject({ url: '/consumers', headers })).json().consumers.map(({ name }: { name: string }) => name)
  t.same(await named(bob), ['bobs'])
  t.same(await named(ops), ['anns', 'bobs'])
  await t.rejects(LiveSocket.open(t, `${url}/events?consumer=bobs`, ann), /403/)
  const page = (await app.inject({ url: '/consumers/bobs/events', headers: bob })).json()
  t.same(
    page.events.map(({ stream }: { stream: string }) => stream),
    ['order-1'],
    'only events that Bob may read'
  )
})

t.test('an ownerless consumer is open to all with --anonymous=on, otherwise to administrators only', async (t) => {
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
