/** What the server keeps of itself is written by the server alone: no request forges an account, a token or the audit. */
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, basic, bearer, makeToken, makeUser, setRules } from '../helpers/people.js'

const OWN = ['$audit', '$users', '$user-ann', '$user-eve', '$tokens', '$consumers']

t.test('nobody appends to the streams that the server keeps of itself, or deletes them, in any form', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const ann = await makeUser(store, 'ann')
  const { text } = await makeToken(store, 'ann', { read: ['*'] })
  await app.inject({ method: 'PUT', url: '/consumers/anns', headers: asJson(ann), payload: { source: '/events' } })
  const account = { loginName: 'eve', disabled: false, groups: ['$admins'] }
  const all = { write: 'admin', delete: 'admin' }
  for (const stream of OWN) await setRules(app, stream, all)
  const { head } = store.log
  const dialect = { 'es-eventtype': '$UserCreated', 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
  const ndjson = { ...asJson(admin), 'content-type': 'application/x-ndjson' }
  for (const stream of OWN) {
    const event = { type: '$UserCreated', data: account }
    const url = `/streams/${stream}`
    t.match((await append(app, stream, event, asJson(admin))).json(), { status: 403, code: 'not-permitted' }, stream)
    const native = await app.inject({ method: 'POST', url: '/events', headers: asJson(admin), payload: { events: [{ stream: 'order-1', type: 'T' }, { stream, ...event }] } }) // biome-ignore format: one request
    t.match(native.json(), { status: 403, code: 'not-permitted' }, `${stream} among others`)
    const line = `${JSON.stringify({ stream, ...event })}\n`
    const streamed = await app.inject({ method: 'POST', url: '/events', headers: ndjson, payload: line })
    t.match(streamed.body, /"not-permitted"/, `${stream} line by line`)
    t.equal(
      (await append(app, stream, account, { ...asJson(admin), ...dialect })).statusCode,
      401,
      `${stream} by the dialect`
    )
    for (const rest of ['', '?permanent=true']) {
      const gone = await app.inject({ method: 'DELETE', url: url + rest, headers: asJson(admin) })
      t.equal(gone.statusCode, 403, `DELETE ${url}${rest}`)
    }
    const hard = { accept: 'application/vnd.eventstore.atom+json', 'es-harddelete': 'true', ...admin }
    t.equal((await app.inject({ method: 'DELETE', url, headers: hard })).statusCode, 401, `${url} by the dialect`)
  }
  t.equal(store.log.head, head, 'nothing was written')
  t.equal((await app.inject({ url: '/users/$current', headers: ann })).statusCode, 200)
  t.equal((await app.inject({ url: '/users/$current', headers: basic('eve', '') })).statusCode, 401)
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
})

t.test('nor does anybody where authentication is switched off', async (t) => {
  const { app, store } = await openApp(t)
  const { head } = store.log
  for (const stream of OWN) t.equal((await append(app, stream, { type: 'T' }, asJson())).statusCode, 403, stream)
  t.equal(store.log.head, head)
})
