/**
 * The expected status of every route for every kind of caller. A route without a row fails the test. Each right to the
 * stream `secret` belongs to other accounts (see RIGHTS), and the consumer `anns` belongs to Ann. Only the access check
 * matters here, so most requests name something that does not exist or change nothing.
 */
import { join } from 'node:path'
import Fastify, { type FastifyInstance } from 'fastify'
import t from 'tap'
import { Access } from '../../routes/auth/authorization.js'
import { openApp } from '../helpers/app.js'
import {
  admin,
  asJson,
  basic,
  bearer,
  makeToken,
  makeUser,
  ops,
  principalOf,
  setRules,
  withAnn
} from '../helpers/people.js'

/**
 * No credentials · no credentials with --anonymous=on · Ann · Bob · ops · admin · Ann's revoked token · Ann's expired
 * token · Ann's ticket for another stream.
 */
const KINDS = [
  'no credentials',
  'no credentials, --anonymous=on',
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

/**
 * Expected of a route that is open to all, also with a revoked or expired token. A ticket is limited to its own stream.
 */
const anyone = (status: number) => `${`${status} `.repeat(6)}${status} ${status} 403`
/** Expected of a route for all of `$all`: without credentials it needs --anonymous=on. */
const reader = (status: number) => `401 ${`${status} `.repeat(5)}401 401 403`
/** The accounts that have each right to the stream `secret`, beside administrators. */
const RIGHTS = {
  read: ['ann'],
  write: ['ann', 'bob'],
  delete: ['ops'],
  metadataRead: ['bob'],
  metadataWrite: ['bob', 'ops']
}

/** Expected of a route that needs this right to the stream `secret`. */
function holdersOf(right: keyof typeof RIGHTS, status: number): string {
  const [ann, bob, ops] = ['ann', 'bob', 'ops'].map((login) => (RIGHTS[right].includes(login) ? status : 403))
  return `401 401 ${ann} ${bob} ${ops} ${status} 401 401 403`
}

/** Expected of a route for Ann and administrators. */
const annOnly = (status: number) => `401 401 ${status} 403 403 ${status} 401 401 403`
const administrators = (status: number) => `401 401 403 403 403 ${status} 401 401 403`
const operators = (status: number) => `401 401 403 403 ${status} ${status} 401 401 403`
/** Expected of a route for every account. */
const signedIn = (status: number) => `401 401 ${`${status} `.repeat(4)}401 401 403`
/** The same row in the EventStoreDB dialect, which answers 401 in place of 403. */
const dialect = (row: string) => row.replaceAll('403', '401')

const rows: Record<string, Row> = {
  'GET /streams/:stream': ['/streams/secret', holdersOf('read', 200)],
  'GET /streams/:stream/:number': ['/streams/secret/0', holdersOf('read', 200)],
  'POST /streams/:stream': ['/streams/secret', holdersOf('write', 201), JSON_EVENT],
  'DELETE /streams/:stream': ['/streams/secret?permanent=no', holdersOf('delete', 400)],
  'GET /streams/:stream/metadata': ['/streams/secret/metadata', holdersOf('metadataRead', 200)],
  'PUT /streams/:stream/metadata': ['/streams/secret/metadata', holdersOf('metadataWrite', 400), []],
  'PATCH /streams/:stream/metadata': ['/streams/secret/metadata', holdersOf('metadataWrite', 400), []],
  'POST /streams/:stream/metadata': ['/streams/secret/metadata', dialect(holdersOf('metadataWrite', 400)), {}],
  'GET /streams/:stream/:from/:count': ['/streams/secret/head/1', dialect(holdersOf('read', 200))],
  'GET /streams/:stream/:from/:direction/:count': ['/streams/secret/0/forward/1', dialect(holdersOf('read', 200))],
  'GET /streams/:stream/filtered': ['/streams/$all/filtered', dialect(administrators(400))],
  'GET /streams/:stream/filtered/:from/:direction/:count': [
    '/streams/$all/filtered/head/backward/1',
    dialect(administrators(400))
  ],
  'GET /streams/:stream/metadata/:number': ['/streams/secret/metadata/0', dialect(holdersOf('metadataRead', 200))],
  'GET /streams/:stream/metadata/:from/:count': [
    '/streams/secret/metadata/head/1',
    dialect(holdersOf('metadataRead', 200))
  ],
  'GET /streams/:stream/metadata/:from/:direction/:count': [
    '/streams/secret/metadata/0/forward/1',
    dialect(holdersOf('metadataRead', 200))
  ],
  'POST /streams/:stream/incoming/:id': ['/streams/secret/incoming/no-id', dialect(holdersOf('write', 400)), {}],
  'GET /streams/:stream/incoming/:id': ['/streams/secret/incoming/1', dialect(holdersOf('read', 400))],
  'GET /streams/:stream/': ['/streams/secret/', anyone(307)],
  'POST /streams/:stream/': ['/streams/secret/', anyone(307)],
  'DELETE /streams/:stream/': ['/streams/secret/', anyone(307)],
  'GET /streams/:stream/metadata/': ['/streams/secret/metadata/', anyone(307)],
  'POST /streams/:stream/metadata/': ['/streams/secret/metadata/', anyone(307)],

  'GET /events': ['/events', reader(200)],
  'GET /events/:position': ['/events/999999', reader(404)],
  'POST /events': ['/events', holdersOf('write', 201), { events: [{ stream: 'secret', ...JSON_EVENT }] }],
  'GET /streams': ['/streams', reader(200)],
  'GET /streams/': ['/streams/', reader(200)],
  'GET /categories': ['/categories', reader(200)],
  'GET /types': ['/types', reader(200)],

  'GET /consumers': ['/consumers', reader(200)],
  'GET /consumers/:name': ['/consumers/anns', annOnly(200)],
  'PUT /consumers/:name': ['/consumers/anns', annOnly(400), {}],
  'DELETE /consumers/:name': ['/consumers/gone', reader(404)],
  'GET /consumers/:name/events': ['/consumers/anns/events', annOnly(200)],
  'POST /consumers/:name/ack': ['/consumers/anns/ack', annOnly(400), {}],
  'POST /consumers/:name/reset': ['/consumers/anns/reset', annOnly(400), {}],

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

  // Not implemented yet (501), except `GET /sys/subsystems`.
  'GET /sys/subsystems': ['/sys/subsystems', operators(200)],
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

/** Addresses at which these routes follow other access rules. */
const otherRows: readonly Row[] = [
  ['/streams/$et-T', reader(200)],
  ['/streams/$et-T/metadata', reader(404)],
  ['/streams/$streams', reader(200)],
  // The first entry of this index stream is an event of the stream `secret`.
  [
    '/streams/$et-T/0',
    holdersOf('read', 200).replaceAll('403', '404').replace('401 401', '401 404').replace(/404$/, '403')
  ],
  ['/streams/$et-None', reader(404)],
  ['/streams/$all', reader(200)],
  ['/streams/$users', administrators(200)],
  ['/streams/$audit', administrators(200)],
  ['/users/$current', signedIn(200)]
]

t.test('every route answers every kind of caller with the status in its row', async (t) => {
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
    'no credentials': {},
    'no credentials, --anonymous=on': {},
    ann,
    bob,
    ops,
    admin,
    revoked: bearer(revoked.text),
    expired: bearer(expired.text),
    ticket: {}
  }
  /** Sends the request as every kind of caller and compares the statuses. */
  const check = async (route: string, [url, expected, body]: Row) => {
    const [method] = route.split(' ')
    const answers: number[] = []
    for (const kind of KINDS) {
      const on = kind === 'no credentials, --anonymous=on' ? open : app
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
  for (const route of app.guarded.keys()) {
    if (route.startsWith('HEAD ')) continue // same as GET
    const row = rows[route]
    if (row === undefined) t.fail(`${route} has no row: add one that says who may use it`)
    else await check(route, row)
  }
  for (const row of otherRows) await check('GET', row)
  t.same(
    Object.keys(rows).filter((route) => !app.guarded.has(route)),
    [],
    'no row names a route that does not exist'
  )
})

async function prepare(app: FastifyInstance): Promise<void> {
  const headers = { ...admin, 'content-type': 'application/json' }
  for (const stream of ['secret', 'other']) {
    await app.inject({ method: 'POST', url: `/streams/${stream}`, headers, payload: JSON_EVENT })
  }
  await setRules(app, 'secret', RIGHTS)
}

function put(app: FastifyInstance, url: string, payload: object, who: Record<string, string>) {
  return app.inject({ method: 'PUT', url, headers: { ...who, 'content-type': 'application/json' }, payload })
}

t.test('an account cannot read or change another account’s consumer, token or password', async (t) => {
  const { app, store, ann, bob } = await withAnn(t)
  await put(app, '/consumers/anns', { source: '/events' }, ann)
  const { id } = await makeToken(store, 'ann', { read: ['*'] })
  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
    (await app.inject({ method, url, headers: asJson(bob), ...(payload && { payload }) })).statusCode
  t.equal(await ask('GET', '/consumers/anns'), 403)
  t.equal(await ask('GET', '/consumers/anns/events'), 403)
  t.equal(await ask('GET', '/consumers/anns/events?takeover=true'), 403)
  t.equal(await ask('POST', '/consumers/anns/ack', { cursor: '0', generation: 0 }), 403)
  t.equal(await ask('POST', '/consumers/anns/reset', { to: 'end' }), 403)
  t.equal(await ask('DELETE', '/consumers/anns'), 403)
  t.equal(await ask('DELETE', `/tokens/${id}`), 404)
  t.equal(await ask('POST', '/users/ann/command/change-password', { currentPassword: 'ann', newPassword: 'x' }), 403)
  t.match(store.consumers.get('anns'), { cursor: -1, generation: 0 })
  t.equal(store.tokens.visibleTo(principalOf(store, 'ann')).length, 1)
})

t.test('a route without an access declaration cannot be registered', async (t) => {
  const { store } = await openApp(t)
  const app = Fastify()
  t.teardown(() => app.close())
  new Access(store, { insecure: false, plainCredentials: 'taken' }).guard(app)
  t.throws(() => app.get('/open', async () => 'to everybody'), /GET \/open does not declare the access/)
  t.doesNotThrow(() => app.get('/said', { config: { access: 'anyone' } }, async () => 'to everybody'))
})

t.test('with --insecure every request is allowed, also with wrong credentials', async (t) => {
  const { app } = await openApp(t)
  t.equal((await app.inject('/users')).statusCode, 200)
  t.equal((await app.inject('/streams/$users')).statusCode, 404)
  t.equal((await app.inject({ url: '/users', headers: basic('no', 'body') })).statusCode, 200)
  t.match((await app.inject('/info')).json(), { authentication: { type: 'insecure' } })
})
