/** What is kept of answers, here or in a cache on the way, is shown to nobody who may not read it. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, bearer, makeToken, makeUser, ops, setRules, type Who } from '../helpers/people.js'
import { CLAIMS, provider } from '../helpers/provider.js'

const ATOM = 'application/vnd.eventstore.atom+json'

/** Says who reads the streams of users. */
async function setUsual(app: FastifyInstance, $r: string | string[]): Promise<void> {
  const { statusCode, body } = await append(
    app,
    '$settings',
    { type: '$settings', data: { $userStreamAcl: { $r } } },
    admin
  )
  if (statusCode !== 201) throw new Error(body)
}

/** Addresses where each sees a part, in each form that is kept. */
const PARTS: readonly (readonly [url: string, accept: string])[] = [
  ['/events', '*/*'],
  ['/events?from=0&limit=9&format=page', '*/*'],
  ['/streams/$ce-cart', '*/*'],
  ['/streams/$ce-cart', ATOM],
  ['/streams/$ce-cart/head/backward/20?embed=body', ATOM],
  ['/streams/$ce-cart/0', '*/*'],
  ['/streams/$ce-cart/0', 'application/vnd.eventstore.event+json']
]

/** A store with two carts that only Ann may read, and how often an address shows each of them. */
async function withCarts(app: FastifyInstance) {
  for (const stream of ['cart-1', 'cart-2']) await append(app, stream, [{ type: 'T' }, { type: 'T' }], admin)
  return async (url: string, accept: string, who: Who) => {
    const { body } = await app.inject({ url, headers: { accept, ...who } })
    return [/\bcart-1\b/.test(body), /\bcart-2\b/.test(body)]
  }
}

t.test('what somebody else was shown is not shown from a cache', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await setUsual(app, 'ann')
  const { position } = (await append(app, 'cart-1', [{ type: 'T' }, { type: 'T' }, { type: 'T' }], admin)).json()
  const urls = [
    '/events?from=0&limit=2&format=page',
    '/streams/$ce-cart',
    '/events',
    `/events/${position}`,
    '/streams/$ce-cart/0'
  ]
  for (const accept of ['*/*', ATOM]) {
    for (const url of urls) {
      if (accept === ATOM && !url.startsWith('/streams')) continue
      const asked = async (who: Record<string, string>, more: object = {}) =>
        app.inject({ url, headers: { accept, ...who, ...more } })
      for (let i = 0; i < 3; i++) await asked(ann)
      const anns = await asked(ann)
      t.equal(anns.statusCode, 200, url)
      t.match(anns.body, /cart-1/, `${url}: Ann`)
      const bobs = await asked(bob)
      t.notMatch(bobs.body, /"type":"T"|cart-1/, `${url}: Bob after Ann`)
      const tag = String(anns.headers.etag)
      t.not((await asked(bob, { 'if-none-match': tag })).statusCode, 304, `${url}: with Ann's tag`)
    }
  }
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

t.test('each token of an account is shown what it is for, after the account and after each other', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  await setUsual(app, 'ann')
  const shown = await withCarts(app)
  const one = bearer((await makeToken(store, 'ann', { read: ['cart-2'] })).text)
  const both = bearer((await makeToken(store, 'ann', { read: ['cart-*'] })).text)
  for (const [url, accept] of PARTS) {
    if (url.endsWith('/0')) continue // one event
    for (let i = 0; i < 3; i++) {
      t.same(await shown(url, accept, ann), [true, true], `${url} ${accept}: Ann`)
      t.same(await shown(url, accept, both), [true, true], `${url} ${accept}: with a token for both`)
    }
    t.same(await shown(url, accept, one), [false, true], `${url} ${accept}: with a token for one`)
  }
})

t.test(
  "of a provider's user each token shows what its groups may read, whatever the one before it showed",
  async (t) => {
    const { sign, pem } = await provider()
    const { app } = await openApp(t, { insecure: false, webTokens: { publicKey: pem, ...CLAIMS } })
    await setUsual(app, 'sales')
    const shown = await withCarts(app)
    const [seller, other] = [bearer(await sign({ groups: ['sales'] })), bearer(await sign({ groups: ['other'] }))]
    for (const [url, accept] of PARTS) {
      const first = url.endsWith('/0') ? [true, false] : [true, true]
      for (let i = 0; i < 3; i++) t.same(await shown(url, accept, seller), first, `${url} ${accept}`)
      t.same(await shown(url, accept, other), [false, false], `${url} ${accept}: with other groups`)
    }
  }
)

t.test('other settings, or other groups, show something else from the next request on', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await setUsual(app, 'sales')
  const shown = await withCarts(app)
  const setGroups = (groups: string[]) =>
    app.inject({ method: 'PUT', url: '/users/bob', headers: asJson(admin), payload: { groups } })
  for (const [url, accept] of PARTS) {
    const what = `${url} ${accept}`
    const first = url.endsWith('/0') ? [true, false] : [true, true]
    await setUsual(app, 'bob')
    for (let i = 0; i < 3; i++) t.same(await shown(url, accept, bob), first, what)
    await setUsual(app, 'sales')
    t.same(await shown(url, accept, bob), [false, false], `${what}: other settings`)
    await setGroups(['sales'])
    for (let i = 0; i < 3; i++) t.same(await shown(url, accept, bob), first, what)
    await setGroups([])
    t.same(await shown(url, accept, bob), [false, false], `${what}: other groups`)
  }
})

t.test(
  'who may read $all by a rule of it is shown there what they may read, also with the tag of others',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false })
    const bob = await makeUser(store, 'bob')
    await append(app, 'plain', { type: 'Plain' }, admin)
    await append(app, 'xyzzy', { type: 'Hidden', data: 'xyzzy' }, admin)
    await setRules(app, 'xyzzy', { read: 'ann', metadataRead: 'ann' })
    const ask = (url: string, who: Who, more: object = {}) =>
      app.inject({ url, headers: { accept: ATOM, ...who, ...more } })
    t.equal((await ask('/streams/$all', bob)).statusCode, 401)
    await setRules(app, '$all', { read: 'bob' })
    const start = '0'.repeat(32)
    const filter = '?context=streamid&type=prefix&data=x,p'
    for (const path of [
      '',
      '/head/backward/20',
      `/${start}/forward/20`,
      `/filtered${filter}`,
      `/filtered/${start}/forward/20${filter}`
    ]) {
      for (const embed of ['none', 'body']) {
        const url = `/streams/$all${path}${path.includes('?') ? '&' : '?'}embed=${embed}`
        const [admins, bobs] = [await ask(url, admin), await ask(url, bob)]
        t.equal(bobs.statusCode, 200, url)
        t.match(admins.body, /xyzzy/, `${url}: administrators see it`)
        t.match(bobs.body, /plain/, url)
        t.notMatch(bobs.body, /xyzzy/, url)
      }
    }
    const tag = { 'if-none-match': String((await ask('/streams/$all', admin)).headers.etag) }
    t.equal((await ask('/streams/$all', admin, tag)).statusCode, 304)
    t.equal((await ask('/streams/$all', bob, tag)).statusCode, 200, 'his is another page')
  }
)
