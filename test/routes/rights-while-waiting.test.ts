/** A request that waits (for its body, its turn, or an event) is decided by the rights at the end of the wait. */
import { request } from 'node:http'
import t, { type Test } from 'tap'
import type { Store } from '../../src/store/store.js'
import { type Clock, systemClock } from '../../src/time/clock.js'
import { append, openApp } from '../helpers/app.js'
import { LiveSocket } from '../helpers/live-clients.js'
import { admin, asJson, type Credentials, makeUser, setRules, withAnn } from '../helpers/people.js'

const ATOM = 'application/vnd.eventstore.atom+json'

/** Runs a change when the next append or delete has been admitted by its route, and before the writer handles it. */
function beforeItsTurn(store: Store, what: 'append' | 'delete', change: () => Promise<unknown>): void {
  const { writer } = store
  const work = writer[what] as (request: unknown) => Promise<never>
  writer[what] = async (request: unknown) => {
    writer[what] = work
    await change()
    return work.call(writer, request)
  }
}

t.test('a changed rule applies to the next request, and to a request that was admitted before', async (t) => {
  const { app, store, ann, bob } = await withAnn(t)
  const open = () =>
    setRules(app, 'secret-1', { read: ['ann', 'bob'], write: 'bob', delete: 'bob', metadataWrite: 'bob' })
  const close = () => setRules(app, 'secret-1', { read: 'ann', write: 'ann', delete: 'ann', metadataWrite: 'ann' })
  t.equal((await append(app, 'secret-1', { type: 'T' }, bob)).statusCode, 403)
  await open()
  t.equal((await append(app, 'secret-1', { type: 'InTime' }, bob)).statusCode, 201)
  t.equal((await app.inject({ url: '/streams/secret-1', headers: bob })).statusCode, 200)
  const id = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
  const json = asJson(bob)
  const dialect = { ...json, 'es-eventtype': 'TooLate', 'es-eventid': id }
  const url = '/streams/secret-1'
  const late: [what: 'append' | 'delete', method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', url: string, headers: object, status: number, payload?: object][] = [
    ['append', 'POST', url, json, 403, { type: 'TooLate' }],
    ['append', 'POST', '/events', json, 403, { events: [{ stream: 'secret-1', type: 'TooLate' }] }],
    ['append', 'POST', url, dialect, 401, {}],
    ['append', 'POST', `${url}/incoming/${id}`, dialect, 401, {}],
    ['append', 'PUT', `${url}/metadata`, json, 403, { acl: { read: 'bob' } }],
    ['append', 'PATCH', `${url}/metadata`, json, 403, { acl: { read: 'bob' } }],
    ['append', 'POST', `${url}/metadata`, { ...dialect, 'es-eventtype': '$metadata' }, 401, { $acl: { $r: 'bob' } }],
    ['delete', 'DELETE', url, json, 403],
    ['delete', 'DELETE', `${url}?permanent=true`, json, 403],
    ['delete', 'DELETE', url, { ...json, accept: ATOM }, 401]
  ] // biome-ignore format: a list
  for (const [what, method, at, headers, status, payload] of late) {
    await open()
    let changed = false
    beforeItsTurn(store, what, async () => {
      await close()
      changed = true
    })
    const answer = await app.inject({ method, url: at, headers: headers as Credentials, ...(payload && { payload }) })
    t.ok(changed, `${method} ${at} was admitted`)
    t.equal(answer.statusCode, status, `${method} ${at}`)
    if (status === 403) t.match(answer.json(), { code: 'not-permitted', written: false })
  }
  const { events } = (await app.inject({ url, headers: ann })).json()
  t.same(
    events.map(({ type }: { type: string }) => type),
    ['Whispered', 'InTime']
  )
})

t.test('the body of an account that was disabled meanwhile is refused', async (t) => {
  const { app, store, url, ann } = await withAnn(t)
  await app.inject({ method: 'PUT', url: '/consumers/anns', headers: asJson(ann), payload: { source: '/events' } })
  const requests: [method: string, path: string, body: object][] = [
    ['POST', '/streams/order-1', { type: 'TooLate' }],
    ['POST', '/events', { events: [{ stream: 'order-1', type: 'TooLate' }] }],
    ['PUT', '/streams/order-1/metadata', { maxCount: 1 }],
    ['PATCH', '/streams/order-1/metadata', { maxCount: 1 }],
    ['PUT', '/consumers/more', { source: '/events' }],
    ['POST', '/consumers/anns/ack', { cursor: '1', generation: 0 }],
    ['POST', '/consumers/anns/reset', { to: 'end' }],
    ['POST', '/tokens', { name: 'x', read: ['*'] }],
    ['POST', '/tickets', { source: '/events' }],
    ['POST', '/users/ann/command/change-password', { currentPassword: 'ann', newPassword: 'x' }]
  ]
  const admitted = await Promise.all(
    requests.map(([method, path, body]) => beginRequest(t, `${url}${path}`, method, ann, JSON.stringify(body)))
  )
  await app.inject({ method: 'POST', url: '/users/ann/command/disable', headers: admin })
  const { head } = store.log
  for (const [i, send] of admitted.entries()) t.equal(await send(), 401, `${requests[i]?.[0]} ${requests[i]?.[1]}`)
  await app.inject({ method: 'POST', url: '/users/ann/command/enable', headers: admin })
  t.equal(store.log.head, head + 2, 'only the enabling of the account and its audit record were written')
  t.match(store.consumers.get('anns'), { cursor: -1, generation: 0 })
})

/** Begins a request and waits for 100 Continue. @returns a function that sends the body and returns the status */
function beginRequest(
  t: Test,
  url: string,
  method: string,
  who: Credentials,
  body: string
): Promise<() => Promise<number>> {
  const headers = { ...asJson(who), expect: '100-continue', 'content-length': Buffer.byteLength(body) }
  const sent = request(url, { method, headers, agent: false })
  t.teardown(() => sent.destroy())
  const status = new Promise<number>((resolve, reject) => {
    sent.on('response', (response) => resolve(response.resume().statusCode as number))
    sent.on('error', reject)
  })
  const asked = new Promise<() => Promise<number>>((resolve) =>
    sent.once('continue', () =>
      resolve(() => {
        sent.end(body)
        return status
      })
    )
  )
  sent.flushHeaders()
  return asked
}

t.test('a read that waits returns no event if its right is taken away meanwhile', async (t) => {
  const held = heldReads()
  const { app, store } = await openApp(t, { insecure: false, clock: held.clock })
  const bob = await makeUser(store, 'bob')
  await append(app, 's', { type: 'T' }, admin)
  await app.inject({
    method: 'PUT',
    url: '/consumers/bobs',
    headers: asJson(bob),
    payload: { source: '/streams/s', from: 'end' }
  })
  await setRules(app, '$all', { read: 'bob' })
  const { head } = store.log
  const position = (head + 2).toString(16).padStart(16, '0').repeat(2)
  const reads: [url: string, headers: object, status: number][] = [
    ['/streams/s?from=1&wait=20', { accept: '*/*' }, 403],
    ['/streams/s/1?wait=20&atLeast=9', { accept: '*/*' }, 403],
    [`/streams/s?atLeast=${head + 5}&wait=20`, { accept: '*/*' }, 403],
    ['/consumers/bobs/events?wait=20', { accept: '*/*' }, 403],
    ['/streams/s/1/forward/5', { accept: ATOM, 'es-longpoll': '20' }, 401],
    [`/streams/$all/${position}/forward/5`, { accept: ATOM, 'es-longpoll': '20' }, 401]
  ]
  const answers = reads.map(([url, headers]) => app.inject({ url, headers: { ...headers, ...bob } }))
  await held.until(reads.length)
  await setRules(app, '$all', { read: 'ann' })
  await setRules(app, 's', { read: 'ann' })
  for (let i = 0; i < 6; i++) await append(app, 's', { type: 'TooLate' }, admin)
  for (const [i, answer] of answers.entries()) {
    const { statusCode, body } = await answer
    const [url, , status] = reads[i] as (typeof reads)[number]
    t.equal(statusCode, status, url)
    t.notMatch(body, /TooLate/, url)
  }
})

/** A clock that counts the reads which are held for 20 s. */
function heldReads(): { clock: Clock; until: (count: number) => Promise<void> } {
  let held = 0
  const after: Clock['after'] = (ms, callback) => {
    if (ms === 20_000) held++
    return systemClock.after(ms, callback)
  }
  const until = async (count: number) => {
    while (held < count) await new Promise((resolve) => setImmediate(resolve))
  }
  return { clock: { ...systemClock, after }, until }
}

t.test('a consumer whose owner may no longer read the source returns nothing, in any form', async (t) => {
  const { app, url, ann } = await withAnn(t)
  const payload = { source: '/streams/secret-1' }
  await app.inject({ method: 'PUT', url: '/consumers/anns', headers: asJson(ann), payload })
  const read = () => app.inject({ url: '/consumers/anns/events', headers: asJson(ann) })
  t.equal((await read()).statusCode, 200)
  const socket = await LiveSocket.open(t, `${url}/consumers/anns/events`, ann)
  await socket.untilEvents(1)
  await setRules(app, 'secret-1', { read: 'bob' })
  t.match(await socket.closed, { code: 4403 })
  t.equal((await read()).statusCode, 403)
  await t.rejects(LiveSocket.open(t, `${url}/consumers/anns/events`, ann), /refused with 403/)
})

t.test('a streamed write ends when its account is disabled', async (t) => {
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
