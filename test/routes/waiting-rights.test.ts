/** Rights are checked again after a wait for a body or for an event: a right that was lost meanwhile does not count. */
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import { append, ask, listen } from '../helpers/app.js'
import { type Answer, send } from '../helpers/http.js'
import { eventually } from '../helpers/live-events.js'
import { admin, basic, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'
import { listenRaw, type RawApp } from '../helpers/raw.js'

type Credentials = { authorization: string }
type Change = [what: string, change: (app: RawApp['app'], store: Store) => Promise<unknown>]

const DIALECT = 'application/vnd.eventstore.events+json'
const ID = '5b0c7c5e-6b6e-4f0e-9d1a-2f6f3c0f9a11'

/** Changes of an account while its request waits. Its password stays the same. */
const CHANGES: Change[] = [
  ['deleted', (app) => ask(app, 'DELETE /users/eve', admin)],
  ['disabled', (app) => ask(app, 'POST /users/eve/command/disable', admin, {})],
  ['disabled and enabled', async (app) => {
    await ask(app, 'POST /users/eve/command/disable', admin, {})
    await ask(app, 'POST /users/eve/command/enable', admin, {})
  }],
  ['demoted', (app) => ask(app, 'PUT /users/eve', admin, { fullName: 'eve', groups: [] })],
  ['deleted and made again', async (app, store) => {
    await ask(app, 'DELETE /users/eve', admin)
    await makeUser(store, 'eve', ['$admins'])
  }]
] // biome-ignore format: a table

/**
 * Begins a request: its headers are checked, and all but the last byte of its body is sent.
 * @returns a function that sends the last byte and returns the answer
 */
async function beginRequest(
  { connect }: RawApp,
  call: string,
  who: Credentials,
  body: unknown,
  type = 'application/json'
) {
  const text = JSON.stringify(body)
  const headers = [
    `${call} HTTP/1.1`,
    'Host: localhost',
    `Authorization: ${who.authorization}`,
    'Accept: */*',
    `Content-Type: ${type}`,
    `Content-Length: ${text.length}`,
    'Expect: 100-continue',
    'Connection: close'
  ]
  const socket = connect()
  socket.write(`${headers.join('\r\n')}\r\n\r\n`)
  // By now the request has passed every check before its body, or it takes no body and is answered.
  await socket.until(/^HTTP\/1\.1 \d{3} [\s\S]*?\r\n\r\n/)
  socket.write(text.slice(0, -1))
  return async () => {
    socket.write(text.slice(-1))
    const answer = await socket.closed
    return { status: Number(/(?:^|\r\n\r\n)HTTP\/1\.1 (?!100)(\d{3})/.exec(answer)?.[1] ?? 0), answer }
  }
}

/** What an administrator may do with a body, and the expected status. */
const WORK: [call: string, status: number, body: unknown, type?: string][] = [
  ['POST /users', 201, { loginName: 'mallory', groups: ['$admins'], password: 'mallory' }],
  ['PUT /users/bob', 200, { fullName: 'Bob', groups: ['$admins'] }],
  ['POST /users/bob/command/reset-password', 200, { newPassword: 'taken' }],
  ['POST /users/bob/command/disable', 200, {}],
  ['POST /users/bob/command/enable', 200, {}],
  ['DELETE /users/carol', 200, {}],
  ['POST /tokens', 201, { name: 'mine', read: ['*'], write: ['*'] }],
  ['POST /tickets', 201, { source: '/events' }],
  ['PUT /consumers/made', 201, { source: '/events' }],
  ['POST /consumers/there/reset', 200, { to: 'start' }],
  ['POST /consumers/there/ack', 200, { cursor: '0', generation: 0 }],
  ['DELETE /consumers/gone', 204, {}],
  ['PUT /streams/room/metadata', 200, { acl: { read: 'eve' } }],
  ['PATCH /streams/room/metadata', 200, { acl: { read: 'eve' } }],
  ['POST /streams/room/metadata', 201, [{ eventId: ID, eventType: '$metadata', data: {} }], DIALECT],
  ['POST /streams/room', 201, { type: 'T' }],
  ['POST /streams/room', 201, [{ eventId: ID, eventType: 'T', data: {} }], DIALECT],
  [`POST /streams/room/incoming/${ID}`, 400, {}],
  ['POST /streams/$settings', 201, { type: '$settings', data: { $userStreamAcl: { $r: '$all' } } }],
  ['POST /events', 201, { events: [{ stream: 'room', type: 'T' }] }],
  ['DELETE /streams/another', 204, {}],
  ['POST /admin/reloadconfig', 200, {}],
  ['POST /admin/shutdown', 200, {}],
  ['POST /users/eve/command/change-password', 200, { currentPassword: 'eve', newPassword: 'mine' }]
]

async function openWithEve(t: Test) {
  const commands: string[] = []
  const control = { stop: () => commands.push('stop'), reload: async () => void commands.push('reload'), settings: [] }
  const opened = await listenRaw(t, { insecure: false, control })
  const { app, store } = opened
  const eve = await makeUser(store, 'eve', ['$admins'])
  await makeUser(store, 'bob')
  await makeUser(store, 'carol')
  await append(app, 'another', { type: 'T' }, admin)
  await setRules(app, 'room', { read: '$admins', write: '$admins' })
  for (const name of ['there', 'gone']) await ask(app, `PUT /consumers/${name}`, eve, { source: '/events' })
  const { statusCode } = await ask(app, 'GET /users/$current', eve)
  t.equal(statusCode, 200, 'the first sign-in is done, so that later ones do not wait')
  return { opened, app, store, eve, commands }
}

t.test('a late body is accepted if nothing has changed', async (t) => {
  const { opened, eve } = await openWithEve(t)
  for (const [call, status, body, type] of WORK) {
    const { status: got, answer } = await (await beginRequest(opened, call, eve, body, type))()
    // The reset before it began a new generation.
    if (call.endsWith('/ack')) t.match(answer, /"stale-generation"/)
    else t.equal(got, status, `${call}: ${answer.slice(-300)}`)
  }
})

for (const [what, change] of CHANGES) {
  t.test(`an administrator who was ${what} while the body was on its way changes nothing`, async (t) => {
    const { opened, app, store, eve, commands } = await openWithEve(t)
    const begun = []
    for (const [call, , body, type] of WORK) {
      // A DELETE takes no body, and is answered before one has come.
      if (call.startsWith('DELETE ')) continue
      begun.push({ call, finish: await beginRequest(opened, call, eve, body, type) })
    }
    await change(app, store)
    const { head } = store.log
    const before = store.consumers.find('there')
    const place = [before?.cursor, before?.generation]
    for (const { call, finish } of begun) {
      const { status, answer } = await finish()
      t.equal(status, 401, `${call}: ${answer.slice(-300)}`)
      t.equal(store.log.head, head, `${call} writes nothing`)
    }
    t.same(
      [store.consumers.find('there')?.cursor, store.consumers.find('there')?.generation],
      place,
      'no cursor is moved'
    )
    t.ok(store.consumers.find('gone'))
    t.same(commands, [], 'no command is carried out')
    t.equal((await ask(app, 'GET /users', basic('mallory', 'mallory'))).statusCode, 401)
  })
}

t.test('a body that comes after its token was revoked, or after a rule took its right away, is refused', async (t) => {
  const opened = await listenRaw(t, { insecure: false })
  const { app, store } = opened
  const bob = await makeUser(store, 'bob')
  const { id, text } = await makeToken(store, 'bob', { read: ['*'], write: ['*'] })
  await ask(app, 'GET /users/$current', bob)
  const work: typeof WORK = [
    ['POST /streams/room', 201, { type: 'T' }],
    ['POST /streams/room', 201, [{ eventId: ID, eventType: 'T', data: {} }], DIALECT],
    ['POST /events', 201, { events: [{ stream: 'room', type: 'T' }] }]
  ]
  await append(app, 'room', { type: 'T' }, admin)
  const byToken = []
  for (const [call, , body, type] of work)
    byToken.push({ call, finish: await beginRequest(opened, call, bearer(text), body, type) })
  t.equal((await ask(app, `DELETE /tokens/${id}`, bob)).statusCode, 204)
  for (const { call, finish } of byToken) t.equal((await finish()).status, 401, `${call} by a revoked token`)

  const byRule = []
  const rules: typeof WORK = [
    ['PUT /streams/room/metadata', 200, {}],
    ['PATCH /streams/room/metadata', 200, { acl: null }]
  ]
  for (const [call, , body, type] of [...work, ...rules]) {
    byRule.push({ call, type, finish: await beginRequest(opened, call, bob, body, type) })
  }
  await setRules(app, 'room', { read: 'ann', write: 'ann' })
  const { head } = store.log
  for (const { call, type, finish } of byRule) {
    t.equal((await finish()).status, type === DIALECT ? 401 : 403, `${call} after the rule`)
  }
  t.equal(store.log.head, head, 'nothing is written')
})

const HIDDEN = 'xyzzy'

/** How the caller of a waiting read loses the right to it. With `token` the caller uses a token. */
const LOSSES: [...Change, token?: boolean][] = [
  ...CHANGES,
  ['deprived of its token', async (app, store) => {
    const [token] = store.tokens.visibleTo({ login: 'eve', groups: [], by: 'password' })
    await ask(app, `DELETE /tokens/${token?.id}`, admin)
  }, true],
  ['locked out by a rule', async (app) => {
    await setRules(app, '$all', { read: 'ann' })
    await setRules(app, 'room', { read: 'ann' })
  }]
] // biome-ignore format: a table

for (const [what, change, byToken] of LOSSES) {
  t.test(`a caller who was ${what} while a read waited receives no event`, async (t) => {
    const { app, store, url } = await listen(t, { insecure: false })
    const password = await makeUser(store, 'eve', ['sales'])
    const who = byToken ? bearer((await makeToken(store, 'eve', { read: ['*', '$*'] })).text) : password
    await append(app, 'room', { type: 'T' }, admin)
    for (const stream of ['room', '$all']) await setRules(app, stream, { read: ['sales'] })
    t.equal((await ask(app, 'PUT /consumers/c', password, { source: '/streams/room', from: 'end' })).statusCode, 201)
    t.equal((await ask(app, 'GET /streams/room', who)).statusCode, 200)
    const { head } = store.log
    const later = head + 10
    const from = (
      await ask(app, 'GET /streams/$all', { accept: 'application/vnd.eventstore.atom+json', ...admin })
    ).json()
    const previous = from.links.find(({ relation }: { relation: string }) => relation === 'previous').uri
    const poll = { 'es-longpoll': '60', accept: 'application/vnd.eventstore.atom+json' }
    const reads: [path: string, headers: Record<string, string>, ofLog: boolean][] = [
      ['/streams/room?after=0&wait=60', {}, false],
      ['/streams/room?from=end&wait=60', {}, false],
      ['/streams/room?after=0', { prefer: 'wait=60' }, false],
      [`/streams/room?atLeast=${later}&wait=60`, {}, false],
      [`/streams/room?atLeast=${later}&wait=60&format=ndjson`, {}, false],
      [`/streams/room?atLeast=${later}&wait=60&live=true&limit=2`, {}, false],
      [`/streams/room/1?atLeast=${later}&wait=60`, {}, false],
      [`/streams/room/head?atLeast=${later}&wait=60`, {}, false],
      ['/consumers/c/events?wait=60', {}, false],
      ['/streams/room/1/forward/20', poll, false],
      [`/events?after=${head}&wait=60`, {}, true],
      [`/events?atLeast=${later}&wait=60`, {}, true],
      [`/events/${later}?atLeast=${later}&wait=60`, {}, true],
      ['/streams/$et-T?after=0&wait=60', {}, true],
      ['/streams/$et-T/1/forward/20', poll, true],
      [new URL(previous).pathname, poll, false]
    ]
    let waiting = 0
    const { reached } = store.log
    const { follow } = store.tails
    store.log.reached = (position) => {
      waiting++
      return reached.call(store.log, position)
    }
    store.tails.follow = (...args) => {
      waiting++
      return follow.apply(store.tails, args)
    }
    const answers: { path: string; headers: Record<string, string>; ofLog: boolean; answer: Promise<Answer> }[] = []
    for (const [path, headers, ofLog] of reads) {
      const before = waiting
      let early: Answer | undefined
      const answer = send(url + path, { headers: { accept: '*/*', ...headers, ...who } })
      answer.then((answer) => (early = answer))
      answers.push({ path, headers, ofLog, answer })
      await eventually(`${path} waits`, () => waiting > before || early !== undefined)
      t.equal(early, undefined, `${path} waits`)
    }
    await change(app, store)
    const events = Array.from({ length: 12 }, () => ({ type: 'T', data: HIDDEN }))
    t.equal((await append(app, 'room', events, admin)).statusCode, 201)
    await append(app, 'open', { type: 'T' }, admin)
    for (const { path, headers, ofLog, answer } of answers) {
      const { status, text } = await answer
      t.notMatch(text, HIDDEN, `${path} ${JSON.stringify(headers)}`)
      // Reads of the log and of index streams return what the caller may read, so that a rule does not refuse them.
      if (!what.includes('rule')) t.equal(status, 401, path)
      else if (!ofLog) t.equal(status, headers === poll ? 401 : 403, path)
    }
  })
}
