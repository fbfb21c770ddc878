/** What pages of other origins may read and send: nothing with credentials, unless their origin was named. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, makeUser } from '../helpers/people.js'

const PAGE = 'https://app.example'
const STRANGER = 'https://evil.example'

async function ask(app: FastifyInstance, origin: string | undefined, who: object = {}, url = '/events') {
  const { statusCode, headers, body } = await app.inject({
    url,
    headers: { ...asJson(who), ...(origin && { origin }) }
  })
  const { 'access-control-allow-origin': shared, 'access-control-allow-credentials': withCredentials } = headers
  return { status: statusCode, shared, withCredentials, body, headers }
}

t.test('where no origin is named all pages may read what is shown without an account, and none signs in', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true })
  t.match(await ask(app, STRANGER), { status: 200, shared: '*', withCredentials: undefined })
  for (const origin of [STRANGER, 'null']) {
    const refused = await ask(app, origin, admin)
    t.equal(refused.status, 403, origin)
    t.match(JSON.parse(refused.body), { code: 'origin-refused' })
  }
  t.equal((await ask(app, undefined, admin)).status, 200, 'who names no origin is no page')
  t.equal((await ask(app, 'http://localhost:2113', { ...admin, host: 'localhost:2113' })).status, 200, 'its own page')
})

t.test('pages of origins that are named read with credentials, those of others read nothing', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, anonymous: true, corsOrigins: [PAGE] })
  const ann = await makeUser(store, 'ann')
  t.match(await ask(app, PAGE), { status: 200, shared: PAGE, withCredentials: 'true' })
  t.match(await ask(app, PAGE, ann), { status: 200, shared: PAGE, withCredentials: 'true' })
  for (const origin of [STRANGER, `${PAGE}.evil.example`, `${PAGE}:8443`, PAGE.replace('https', 'http'), 'null']) {
    const { shared } = await ask(app, origin)
    t.ok(shared !== '*' && shared !== origin, `${origin}: ${shared}`)
    t.equal((await ask(app, origin, ann)).status, 403, origin)
  }
  const { statusCode } = await append(app, 's', { type: 'T' }, { ...asJson(ann), origin: PAGE })
  t.equal(statusCode, 403, 'who may read may not write')
})

t.test('a page that may write here may sign in here', async (t) => {
  const { app, store } = await openApp(t, { insecure: false, allowOrigins: [PAGE] })
  const ann = await makeUser(store, 'ann')
  t.equal((await append(app, 's', { type: 'T' }, { ...asJson(ann), origin: PAGE })).statusCode, 201)
  t.equal((await append(app, 's', { type: 'T' }, { ...asJson(ann), origin: STRANGER })).statusCode, 403)
  t.equal((await ask(app, PAGE, ann)).status, 200)
})

t.test('on loopback pages of this machine may read, and no others', async (t) => {
  const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins: 'local' })
  for (const origin of [
    'http://localhost:3000',
    'https://app.localhost',
    'http://127.0.0.1:8080',
    'http://[::1]:8080'
  ]) {
    t.match(await ask(app, origin), { status: 200, shared: '*', withCredentials: undefined }, origin)
    t.equal((await ask(app, origin, admin)).status, 200, `${origin} signs in`)
    const { statusCode } = await append(app, 's', { type: 'T' }, { ...asJson(admin), origin })
    t.equal(statusCode, 403, `${origin} does not write`)
  }
  for (const origin of [
    STRANGER,
    'http://localhost.evil.example',
    'http://evil.example/localhost',
    'http://127.0.0.1.evil.example',
    'http://notlocalhost:3000',
    'null'
  ]) {
    t.equal((await ask(app, origin)).shared, undefined, origin)
    t.equal((await ask(app, origin, admin)).status, 403, origin)
  }
})

t.test('caches are told that an answer depends on the origin, beside what else it depends on', async (t) => {
  for (const [i, corsOrigins] of ([[PAGE], 'local'] as const).entries()) {
    const directory = `${t.testdir({ 0: {}, 1: {} })}/${i}`
    const { app } = await openApp(t, { insecure: false, anonymous: true, corsOrigins, directory })
    await append(app, 's', { type: 'T' })
    for (const url of ['/events', '/streams/s', '/streams/s/0', '/streams', '/ping', '/info', '/nowhere', '/users']) {
      const vary = String((await ask(app, PAGE, {}, url)).headers.vary)
      t.equal(vary.match(/\borigin\b/gi)?.length, 1, `${url}: ${vary}`)
      if (/events|streams\/s/.test(url)) t.match(vary, /\bAuthorization\b/, url)
    }
    const atom = await app.inject({ url: '/streams/s', headers: { accept: 'application/atom+xml', origin: PAGE } })
    t.match(atom.headers.vary, /Accept.*Origin/)
  }
})

t.test('before it sends, a browser is told what a page may send', async (t) => {
  const { app } = await openApp(t, { insecure: false, corsOrigins: [PAGE] })
  const { statusCode, headers } = await app.inject({
    method: 'OPTIONS',
    url: '/streams/s',
    headers: {
      origin: PAGE,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization'
    }
  })
  t.equal(statusCode, 200)
  t.equal(headers['access-control-allow-origin'], PAGE)
  t.match(headers['access-control-allow-methods'], /GET.*POST/)
  t.match(headers['access-control-allow-headers'], /Authorization/i)
})
