/** Cached answers, of the server or of a cache on the way, are shown only to callers who may read them. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, bearer, type Credentials, makeToken, makeUser, ops, setRules } from '../helpers/people.js'
import { CLAIMS, provider } from '../helpers/provider.js'

const ATOM = 'application/vnd.eventstore.atom+json'

/** Sets who may read user streams by default. */
async function setDefaultReaders(app: FastifyInstance, $r: string | string[]): Promise<void> {
  const { statusCode, body } = await append(
    app,
    '$settings',
    { type: '$settings', data: { $userStreamAcl: { $r } } },
    admin
  )
  if (statusCode !== 201) throw new Error(body)
}

/** Addresses at which each caller sees a part, in each form that is cached. */
const PARTS: readonly (readonly [url: string, accept: string])[] = [
  ['/events', '*/*'],
  ['/events?from=0&limit=9&format=page', '*/*'],
  ['/streams/$ce-cart', '*/*'],
  ['/streams/$ce-cart', ATOM],
  ['/streams/$ce-cart/head/backward/20?embed=body', ATOM],
  ['/streams/$ce-cart/0', '*/*'],
  ['/streams/$ce-cart/0', 'application/vnd.eventstore.event+json']
]

/** Fills two carts. @returns a function that tells which of them an address shows to a caller */
async function withCarts(app: FastifyInstance) {
  for (const stream of ['cart-1', 'cart-2']) await append(app, stream, [{ type: 'T' }, { type: 'T' }], admin)
  return async (url: string, accept: string, who: Credentials) => {
    const { body } = await app.inject({ url, headers: { accept, ...who } })
    return [/\bcart-1\b/.test(body), /\bcart-2\b/.test(body)]
  }
}

t.test('an answer cached for one caller is not shown to another', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const [ann, bob] = [await makeUser(store, 'ann'), await makeUser(store, 'bob')]
  await setDefaultReaders(app, 'ann')
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
      t.not((await asked(bob, { 'if-none-match': tag })).statusCode, 304, `${url}: with the ETag of Ann`)
    }
  }
})

t.test('shared caches may keep only what everybody may read', async (t) => {
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

t.test(
  'each token of an account sees the streams of its scope only, also after the account and other tokens',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false })
    const ann = await makeUser(store, 'ann')
    await setDefaultReaders(app, 'ann')
    const shown = await withCarts(app)
    const one = bearer((await makeToken(store, 'ann', { read: ['cart-2'] })).text)
    const both = bearer((await makeToken(store, 'ann', { read: ['cart-*'] })).text)
    for (const [url, accept] of PARTS) {
      if (url.endsWith('/0')) continue // a single event
      for (let i = 0; i < 3; i++) {
        t.same(await shown(url, accept, ann), [true, true], `${url} ${accept}: Ann`)
        t.same(await shown(url, accept, both), [true, true], `${url} ${accept}: with a token for both`)
      }
      t.same(await shown(url, accept, one), [false, true], `${url} ${accept}: with a token for one`)
    }
  }
)

t.test(
  'a token of a provider shows what its groups may read, not what was cached for another token of the same user',
  async (t) => {
    const { sign, pem } = await provider()
    const { app } = await openApp(t, { insecure: false, webTokens: { publicKey: pem, ...CLAIMS } })
    await setDefaultReaders(app, 'sales')
    const shown = await withCarts(app)
    const [seller, other] = [bearer(await sign({ groups: ['sales'] })), bearer(await sign({ groups: ['other'] }))]
    for (const [url, accept] of PARTS) {
      const first = url.endsWith('/0') ? [true, false] : [true, true]
      for (let i = 0; i < 3; i++) t.same(await shown(url, accept, seller), first, `${url} ${accept}`)
      t.same(await shown(url, accept, other), [false, false], `${url} ${accept}: with other groups`)
    }
  }
)

t.test('changed settings or groups apply to cached answers from the next request on', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const bob = await makeUser(store, 'bob')
  await setDefaultReaders(app, 'sales')
  const shown = await withCarts(app)
  const setGroups = (groups: string[]) =>
    app.inject({ method: 'PUT', url: '/users/bob', headers: asJson(admin), payload: { groups } })
  for (const [url, accept] of PARTS) {
    const what = `${url} ${accept}`
    const first = url.endsWith('/0') ? [true, false] : [true, true]
    await setDefaultReaders(app, 'bob')
    for (let i = 0; i < 3; i++) t.same(await shown(url, accept, bob), first, what)
    await setDefaultReaders(app, 'sales')
    t.same(await shown(url, accept, bob), [false, false], `${what}: other settings`)
    await setGroups(['sales'])
    for (let i = 0; i < 3; i++) t.same(await shown(url, accept, bob), first, what)
    await setGroups([])
    t.same(await shown(url, accept, bob), [false, false], `${what}: other groups`)
  }
})

t.test(
  'a caller who may read $all by its rule sees there only what they may read, also with the ETag of another',
  async (t) => {
    const { app, store } = await openApp(t, { insecure: false })
    const bob = await makeUser(store, 'bob')
    await append(app, 'plain', { type: 'Plain' }, admin)
    await append(app, 'xyzzy', { type: 'Hidden', data: 'xyzzy' }, admin)
    await setRules(app, 'xyzzy', { read: 'ann', metadataRead: 'ann' })
    const ask = (url: string, who: Credentials, more: object = {}) =>
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
    t.equal((await ask('/streams/$all', bob, tag)).statusCode, 200, 'his page is another one')
  }
)
