/**
 * Who gets what answer at which address. Every route has its row: one that is added without fails here. The stream
 * `secret` and the consumer `anns` are Ann's; what comes of a request that is let in is beside the point, so most of
 * them ask for something that is not there or would change nothing.
 */
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { listen, openApp } from '../helpers/app.js'
import { admin, basic, bearer, makeToken, makeUser, ops, setRules } from '../helpers/people.js'

/**
 * Nobody · nobody where --anonymous=on · Ann · Bob · ops · admin · Ann's revoked token · her expired token · Ann's ticket
 * for another stream.
 */
const KINDS = [
  'nobody',
  'nobody, where that is on',
  'ann',
  'bob',
  'ops',
  'admin',
  'revoked',
  'expired',
  'ticket'
] as const

type Row = readonly [request: string, expected: string, body?: unknown]

const JSON_EVENT = { type: 'T' }
const user = { loginName: 'x', password: '' }

/** What anybody gets, also with what counts no more; a ticket opens nothing but what it is for. */
const anyone = (status: number) => `${`${status} `.repeat(6)}${status} ${status} 403`
/** What those get whom `$all` means. */
const reader = (status: number) => `401 ${`${status} `.repeat(5)}401 401 403`
/** What Ann and administrators get of what is Ann's. */
const anns = (status: number) => `401 401 ${status} 403 403 ${status} 401 401 403`
const administrators = (status: number) => `401 401 403 403 403 ${status} 401 401 403`
const operators = (status: number) => `401 401 403 403 ${status} ${status} 401 401 403`
/** What everybody gets who has an account. */
const signedIn = (status: number) => `401 401 ${`${status} `.repeat(4)}401 401 403`
/** As they were in the dialect, which has no 403. */
const dialect = (row: string) => row.replaceAll('403', '401')

const rows: Record<string, Row> = {
  'GET /streams/:stream': ['/streams/secret', anns(200)],
  'GET /streams/:stream/:number': ['/streams/secret/0', anns(200)],
  'POST /streams/:stream': ['/streams/secret', anns(201), JSON_EVENT],
  'DELETE /streams/:stream': ['/streams/secret?permanent=no', anns(400)],
  'GET /streams/:stream/metadata': ['/streams/secret/metadata', anns(200)],
  'PUT /streams/:stream/metadata': ['/streams/secret/metadata', anns(400), []],
  'PATCH /streams/:stream/metadata': ['/streams/secret/metadata', anns(400), []],
  'POST /streams/:stream/metadata': ['/streams/secret/metadata', dialect(anns(400)), {}],
  'GET /streams/:stream/:from/:count': ['/streams/secret/head/1', dialect(anns(200))],
  'GET /streams/:stream/:from/:direction/:count': ['/streams/secret/0/forward/1', dialect(anns(200))],
  'GET /streams/:stream/filtered': ['/streams/$all/filtered', dialect(administrators(400))],
  'GET /streams/:stream/filtered/:from/:direction/:count': [
    '/streams/$all/filtered/head/backward/1',
    dialect(administrators(400))
  ],
  'GET /streams/:stream/metadata/:number': ['/streams/secret/metadata/0', dialect(anns(200))],
  'GET /streams/:stream/metadata/:from/:count': ['/streams/secret/metadata/head/1', dialect(anns(200))],
  'GET /streams/:stream/metadata/:from/:direction/:count': ['/streams/secret/metadata/0/forward/1', dialect(anns(200))],
  'POST /streams/:stream/incoming/:id': ['/streams/secret/incoming/no-id', dialect(anns(400)), {}],
  'GET /streams/:stream/incoming/:id': ['/streams/secret/incoming/1', dialect(anns(400))],
  'GET /streams/:stream/': ['/streams/secret/', anyone(307)],
  'POST /streams/:stream/': ['/streams/secret/', anyone(307)],
  'DELETE /streams/:stream/': ['/streams/secret/', anyone(307)],
  'GET /streams/:stream/metadata/': ['/streams/secret/metadata/', anyone(307)],
  'POST /streams/:stream/metadata/': ['/streams/secret/metadata/', anyone(307)],

  'GET /events': ['/events', reader(200)],
  'GET /events/:position': ['/events/999999', reader(404)],
  'POST /events': ['/events', anns(201), { events: [{ stream: 'secret', ...JSON_EVENT }] }],
  'GET /streams': ['/streams', reader(200)],
  'GET /streams/': ['/streams/', reader(200)],
  'GET /categories': ['/categories', reader(200)],
  'GET /types': ['/types', reader(200)],

  'GET /consumers': ['/consumers', reader(200)],
  'GET /consumers/:name': ['/consumers/anns', anns(200)],
  'PUT /consumers/:name': ['/consumers/anns', anns(400), {}],
  'DELETE /consumers/:name': ['/consumers/gone', reader(404)],
  'GET /consumers/:name/events': ['/consumers/anns/events', anns(200)],
  'POST /consumers/:name/ack': ['/consumers/anns/ack', anns(400), {}],
  'POST /consumers/:name/reset': ['/consumers/anns/reset', anns(400), {}],

  'GET /users': ['/users', administrators(200)],
  'GET /users/': ['/users/', administrators(200)],
  'POST /users': ['/users', administrators(400), user],
  'POST /users/': ['/users/', administrators(400), user],
  'GET /users/:login': ['/users/ann', administrators(200)],
  'PUT /users/:login': ['/users/nobody', administrators(404), {}],
  'DELETE /users/:login': ['/users/nobody', administrators(404)],
  'POST /users/:login/command/enable': ['/users/nobody/command/enable', administrators(404)],
  'POST /users/:login/command/disable': ['/users/nobody/command/disable', administrators(404)],
  'POST /users/:login/command/reset-password': [
    '/users/nobody/command/reset-password',
    administrators(404),
    { newPassword: 'x' }
  ],
  'POST /users/:login/command/change-password': [
    '/users/ann/command/change-password',
    '401 401 400 403 403 403 401 401 403',
    {}
  ],
  'POST /tokens': ['/tokens', signedIn(400), {}],
  'GET /tokens': ['/tokens', signedIn(200)],
  'DELETE /tokens/:id': ['/tokens/none', signedIn(404)],
  'POST /tickets': ['/tickets', signedIn(400), {}],

  'GET /': ['/', anyone(200)],
  'GET /info': ['/info', anyone(200)],
  'GET /ping': ['/ping', anyone(200)],
  'GET /livez': ['/livez', anyone(200)],
  'GET /readyz': ['/readyz', anyone(200)],
  'GET /health/live': ['/health/live', anyone(204)],
  'GET /gossip': ['/gossip', anyone(200)],
  'GET /openapi.yaml': ['/openapi.yaml', anyone(200)],
  'GET /problems/:code': ['/problems/not-found', anyone(200)],
  'GET /metrics': ['/metrics', reader(200)],
  'GET /stats': ['/stats', reader(200)],
  'GET /stats/tcp': ['/stats/tcp', reader(200)],
  'GET /stats/*': ['/stats/none', reader(404)],
  'GET /histogram/:name': ['/histogram/none', operators(404)],
  'GET /admin/login': ['/admin/login', signedIn(200)],
  'GET /info/options': ['/info/options', operators(501)],
  'POST /admin/shutdown': ['/admin/shutdown', operators(501)],
  'POST /admin/reloadconfig': ['/admin/reloadconfig', operators(501)],

  // What is not built yet.
  'GET /sys/subsystems': ['/sys/subsystems', operators(501)],
  'POST /admin/scavenge': ['/admin/scavenge', operators(501)],
  'GET /admin/scavenge/current': ['/admin/scavenge/current', operators(501)],
  'DELETE /admin/scavenge/:id': ['/admin/scavenge/x', operators(501)],
  'POST /admin/mergeindexes': ['/admin/mergeindexes', operators(501)],
  'POST /admin/node/priority/:priority': ['/admin/node/priority/1', operators(501)],
  'POST /admin/node/resign': ['/admin/node/resign', operators(501)],
  'GET /projections/any': ['/projections/any', reader(501)],
  'GET /projection/:name/state': ['/projection/x/state', reader(501)],
  'POST /projections/onetime': ['/projections/onetime', operators(501)],
  'POST /projections/restart': ['/projections/restart', operators(501)],
  'GET /subscriptions': ['/subscriptions', reader(501)],
  'POST /subscriptions/restart': ['/subscriptions/restart', operators(501)],
  'GET /subscriptions/:stream': ['/subscriptions/s', reader(501)],
  'GET /subscriptions/:stream/:group/info': ['/subscriptions/s/g/info', reader(501)],
  'PUT /subscriptions/:stream/:group': ['/subscriptions/s/g', operators(501)],
  'POST /subscriptions/:stream/:group': ['/subscriptions/s/g', operators(501)],
  'DELETE /subscriptions/:stream/:group': ['/subscriptions/s/g', operators(501)],
  'GET /subscriptions/:stream/:group': ['/subscriptions/s/g', signedIn(501)],
  'GET /subscriptions/:stream/:group/:count': ['/subscriptions/s/g/1', signedIn(501)],
  'POST /subscriptions/:stream/:group/ack/:id': ['/subscriptions/s/g/ack/x', signedIn(501)],
  'POST /subscriptions/:stream/:group/nack/:id': ['/subscriptions/s/g/nack/x', signedIn(501)],
  'POST /subscriptions/:stream/:group/replayParked': ['/subscriptions/s/g/replayParked', operators(501)],
  'GET /subscriptions/viewparkedmessages/:stream/:group/:from/:direction/:count': [
    '/subscriptions/viewparkedmessages/s/g/0/forward/1',
    reader(501)
  ]
}

t.test('every route answers everybody as its row says', async (t) => {
  const directory = t.testdir({ on: {}, off: {} })
  const { app, store } = await openApp(t, { insecure: false, directory: join(directory, 'off') })
  const { app: open } = await openApp(t, { insecure: false, anonymous: true, directory: join(directory, 'on') })
  const ann = await makeUser(store, 'ann')
  const bob = await makeUser(store, 'bob')
  for (const one of [app, open]) await prepare(one)
  const consumer = await put(app, '/consumers/anns', { source: '/streams/secret' }, ann)
  t.equal(consumer.statusCode, 201)
  await put(open, '/consumers/anns', { source: '/streams/secret' }, admin)
  const read = ['*']
  const revoked = await makeToken(store, 'ann', { read, write: read })
  await app.inject({ method: 'DELETE', url: `/tokens/${revoked.id}`, headers: ann })
  const expired = await makeToken(store, 'ann', { read, write: read }, store.clock.now() - 1)
  const other = { source: '/streams/other', seconds: 600 }
  const headers = { ...ann, 'content-type': 'application/json' }
  const { ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers, payload: other })).json()
  const credentials: Record<(typeof KINDS)[number], Record<string, string>> = {
    nobody: {},
    'nobody, where that is on': {},
    ann,
    bob,
    ops,
    admin,
    revoked: bearer(revoked.text),
    expired: bearer(expired.text),
    ticket: {}
  }
  for (const route of app.guarded.keys()) {
    const [method = ''] = route.split(' ')
    if (method === 'HEAD') continue // as GET
    const row = rows[route]
    if (row === undefined) {
      t.fail(`${route} has no row: say who may use it`)
      continue
    }
    const [url, expected, body] = row
    const answers: number[] = []
    for (const kind of KINDS) {
      const on = kind === 'nobody, where that is on' ? open : app
      const answer = await on.inject({
        method: method as 'GET',
        url: kind === 'ticket' ? `${url}${url.includes('?') ? '&' : '?'}ticket=${ticket}` : url,
        headers: {
          accept: '*/*',
          ...credentials[kind],
          ...(body !== undefined && { 'content-type': 'application/json' })
        },
        ...(body !== undefined && { payload: JSON.stringify(body) })
      })
      answers.push(answer.statusCode)
      const challenged = answer.headers['www-authenticate'] !== undefined
      if (answer.statusCode === 401 && /problem/.test(String(answer.headers['content-type']))) {
        t.ok(challenged, `${route}: ${kind}: a 401 says how to sign in`)
      }
    }
    const wanted = expected.split(' ')
    for (const [i, kind] of KINDS.entries()) t.equal(String(answers[i]), wanted[i], `${route}: ${kind} (${url})`)
  }
  t.same(
    Object.keys(rows).filter((route) => !app.guarded.has(route)),
    [],
    'no row is about what is not there'
  )
})

async function prepare(app: FastifyInstance): Promise<void> {
  const headers = { ...admin, 'content-type': 'application/json' }
  for (const stream of ['secret', 'other']) {
    await app.inject({ method: 'POST', url: `/streams/${stream}`, headers, payload: JSON_EVENT })
  }
  const acl = { read: 'ann', write: 'ann', delete: 'ann', metadataRead: 'ann', metadataWrite: 'ann' }
  await setRules(app, 'secret', acl)
}

function put(app: FastifyInstance, url: string, payload: object, who: Record<string, string>) {
  return app.inject({ method: 'PUT', url, headers: { ...who, 'content-type': 'application/json' }, payload })
}

t.test('a ticket opens the source that it was given for, through its filters, in every form', async (t) => {
  const { app, store, url } = await listen(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  await prepare(app)
  const headers = { ...ann, 'content-type': 'application/json' }
  const payload = { source: '/streams/secret?type=T' }
  const { links, ticket } = (await app.inject({ method: 'POST', url: '/tickets', headers, payload })).json()
  t.equal((await app.inject(links.live)).json().events.length, 1)
  for (const more of ['from=start&limit=1', 'order=desc', 'format=ndjson']) {
    t.equal((await app.inject(`${links.live}&${more}`)).statusCode, 200, more)
  }
  for (const path of ['/streams/secret', '/streams/secret?type=U', '/streams/secret/0', '/events?type=T', '/info']) {
    const at = `${path}${path.includes('?') ? '&' : '?'}ticket=${ticket}`
    const answer = await app.inject({ url: at, headers: { accept: '*/*' } })
    t.equal(answer.statusCode, 403, path)
  }
  const lines = await fetch(`${url}${links.live}&live=true&limit=1`)
  t.match(await lines.text(), /"type":"T"/)
  t.notMatch((await app.inject(links.live)).body, ticket, 'no link of the page holds it')
  await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
  t.equal((await app.inject(links.live)).statusCode, 401, 'it is good as long as the account is')
})

t.test('a token may do what its account may, within its streams, and nothing else', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  await prepare(app)
  await makeUser(store, 'ann')
  const { text } = await makeToken(store, 'ann', { read: ['cart-*', 'secret'], write: ['cart-1'] })
  const asked = async (method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object) =>
    (await app.inject({ method, url: path, headers: bearer(text), ...(payload && { payload }) })).statusCode
  t.equal(await asked('POST', '/streams/cart-1', JSON_EVENT), 201)
  t.equal(await asked('GET', '/streams/cart-1'), 200)
  t.equal(await asked('GET', '/streams/secret'), 200)
  t.equal(await asked('POST', '/streams/cart-2', JSON_EVENT), 403)
  t.equal(await asked('POST', '/streams/secret', JSON_EVENT), 403, 'though Ann may')
  t.equal(await asked('GET', '/streams/other'), 403)
  t.equal(await asked('GET', '/tokens'), 403)
  const { events } = (await app.inject({ url: '/events?system=true', headers: bearer(text) })).json()
  t.same([...new Set(events.map(({ stream }: { stream: string }) => stream))].sort(), ['$$secret', 'cart-1', 'secret'])
  const all = await makeToken(store, 'admin', { read: ['*'], write: ['*'] })
  const system = await app.inject({ url: '/streams/$users', headers: bearer(all.text) })
  t.equal(system.statusCode, 403, '* does not mean system streams')
  const users = await app.inject({ url: '/users', headers: { accept: '*/*', ...bearer(all.text) } })
  t.equal(users.statusCode, 403, "an administrator's token administrates nothing")
})

t.test('with --insecure everybody may do everything', async (t) => {
  const { app } = await openApp(t)
  t.equal((await app.inject('/users')).statusCode, 200)
  t.equal((await app.inject('/streams/$users')).statusCode, 404)
  t.equal((await app.inject({ url: '/users', headers: basic('no', 'body') })).statusCode, 200)
  t.match((await app.inject('/info')).json(), { authentication: { type: 'insecure' } })
})
