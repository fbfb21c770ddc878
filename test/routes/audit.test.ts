/** `$audit` records who changed the store and from where, and contains no secrets. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { append, openApp } from '../helpers/app.js'
import { admin, asJson, basic, bearer, makeUser, ops, setRules, withAnn } from '../helpers/people.js'

interface AuditRecord {
  type: string
  data: Record<string, unknown>
}

/** Reads the audit records after a position of the log, in order. */
async function auditRecordsAfter(app: FastifyInstance, position: number): Promise<AuditRecord[]> {
  const url = `/events?stream=$audit&system=true&after=${position}&limit=1000`
  return (await app.inject({ url, headers: admin })).json().events
}

t.test(
  '$audit records each change with account, credential and address, contains no secrets, and is for administrators',
  async (t) => {
    const { app, store, ann } = await withAnn(t)
    const json = { ...admin, 'content-type': 'application/json' }
    const post = (url: string, payload: object) => app.inject({ method: 'POST', url, headers: json, payload })
    await post('/users', { loginName: 'eve', fullName: 'Eve', groups: [], password: 'hunter2' })
    await app.inject({ method: 'PUT', url: '/users/eve', headers: json, payload: { groups: ['x'] } })
    await post('/users/eve/command/disable', {})
    await post('/users/eve/command/reset-password', { newPassword: 'hunter3' })
    await app.inject({ method: 'DELETE', url: '/users/eve', headers: admin })
    const { token } = (await post('/tokens', { name: 'ci', read: ['*'] })).json()
    await append(app, '$settings', { type: '$settings', data: {} }, admin)
    await app.inject({ method: 'DELETE', url: '/streams/order-1', headers: ann })
    await app.inject({ url: '/events', headers: basic('ann', 'guess') })
    await app.inject({ url: '/events', headers: basic('hunter2', 'typed in the wrong place') })
    await store.failures.flush()
    const { events } = (await app.inject({ url: '/streams/$audit?limit=1000', headers: admin })).json()
    const records = events.map(
      ({ type, data: { who } }: { type: string; data: { who: string | null } }) => `${type} ${who}`
    )
    t.same(records.slice(records.indexOf('AccessRuleChanged admin')), [
      'AccessRuleChanged admin',
      'UserCreated admin',
      'UserUpdated admin',
      'UserDisabled admin',
      'PasswordReset admin',
      'UserDeleted admin',
      'TokenCreated admin',
      'AccessRuleChanged admin',
      'StreamDeleted ann',
      'SignInFailed ann',
      'SignInFailed null'
    ])
    t.match(events.at(-3).data, { who: 'ann', by: 'password', from: '127.0.0.1', requestId: String, stream: 'order-1' })
    for (const secret of ['hunter2', 'hunter3', 'guess', token.split('.')[1]])
      t.notMatch(JSON.stringify(events), secret)
    t.equal(
      (await app.inject({ url: '/streams/$audit', headers: ann })).statusCode,
      403,
      'only administrators may read it'
    )
  }
)

t.test(
  'every change of rights, deletion and command is recorded once, in every format that can request it',
  async (t) => {
    const control = { stop() {}, reload: async () => {}, settings: [] }
    const { app, store } = await openApp(t, { insecure: false, control })
    const ann = await makeUser(store, 'ann')
    for (const stream of ['s', 'u']) await append(app, stream, { type: 'T' }, admin)
    const { head } = store.log
    const ask = (method: 'POST' | 'PUT' | 'DELETE', url: string, who: object, payload?: object, more: object = {}) =>
      app.inject({
        method,
        url,
        headers: { ...asJson(who), 'request-id': 'asked-1', ...more },
        remoteAddress: '10.1.2.3',
        ...(payload && { payload: JSON.stringify(payload) })
      })
    await ask('POST', '/users/ann/command/disable', admin)
    await ask('POST', '/users/ann/command/disable', admin)
    await ask('POST', '/users/ann/command/enable', admin)
    const change = { currentPassword: 'ann', newPassword: 'another' }
    await ask('POST', '/users/ann/command/change-password', ann, change)
    const { id } = (await ask('POST', '/tokens', admin, { name: 'ci', read: ['*'] })).json()
    await ask('DELETE', `/tokens/${id}`, admin)
    await ask('DELETE', '/streams/s', admin, undefined, { accept: 'application/vnd.eventstore.atom+json' })
    await ask('DELETE', '/streams/u?permanent=true', admin)
    await ask('PUT', '/streams/v/metadata', admin, { maxCount: 5 })
    await ask('PUT', '/streams/v/metadata', admin, { maxCount: 5, acl: { read: 'ann' } })
    const dialect = { 'es-eventtype': '$metadata', 'es-eventid': '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11' }
    await ask('POST', '/streams/w/metadata', admin, { $acl: { $r: 'ann' } }, dialect)
    await ask('POST', '/streams/$$x', admin, { $acl: { $r: 'ann' } }, dialect)
    await ask('POST', '/admin/reloadconfig', ops)
    await ask('POST', '/admin/shutdown', ops)
    const records = await auditRecordsAfter(app, head)
    t.same(
      records.map(({ type, data: { who, stream, permanent, command } }) =>
        [type, who, stream ?? command, permanent].filter((word) => word !== undefined).join(' ')
      ),
      [
        'UserDisabled admin',
        'UserEnabled admin',
        'PasswordChanged ann',
        'TokenCreated admin',
        'TokenRevoked admin',
        'StreamDeleted admin s false',
        'StreamDeleted admin u true',
        'AccessRuleChanged admin v',
        'AccessRuleChanged admin w',
        'AccessRuleChanged admin x',
        'CommandGiven ops reloadconfig',
        'CommandGiven ops shutdown'
      ]
    )
    for (const { type, data } of records)
      t.match(data, { by: 'password', from: '10.1.2.3', requestId: 'asked-1' }, type)
  }
)

t.test('refused changes are not recorded', async (t) => {
  const { app, store, bob } = await withAnn(t)
  const { head } = store.log
  const json = asJson(bob)
  await app.inject({ method: 'DELETE', url: '/streams/secret-1', headers: json })
  await app.inject({ method: 'PUT', url: '/streams/secret-1/metadata', headers: json, payload: { acl: {} } })
  await app.inject({ method: 'POST', url: '/users', headers: json, payload: { loginName: 'eve', password: 'eve' } })
  await app.inject({ method: 'POST', url: '/admin/shutdown', headers: json })
  const wrong = { currentPassword: 'guess', newPassword: 'x' }
  await app.inject({ method: 'POST', url: '/users/bob/command/change-password', headers: json, payload: wrong })
  t.same(await auditRecordsAfter(app, head), [])
})

t.test('audit records of accounts and tokens include their rights, but no password, hash or token text', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const post = (url: string, payload: object) =>
    app.inject({ method: 'POST', url, headers: asJson(admin), payload, remoteAddress: '10.1.2.3' })
  await post('/users', { loginName: 'eve', fullName: 'Eve', groups: ['sales'], password: 'p' })
  await post('/tokens', { name: 'ci', read: ['order-*'], write: ['s'] })
  await app.inject({ url: '/events', headers: bearer('dbk_x.y'), remoteAddress: '10.1.2.4' })
  await app.inject({ url: '/events?ticket=x', remoteAddress: '10.1.2.4' })
  await store.failures.flush()
  const records = await auditRecordsAfter(app, -1)
  t.match(records, [
    { type: 'UserCreated', data: { login: 'eve', fullName: 'Eve', groups: ['sales'], from: '10.1.2.3' } },
    { type: 'TokenCreated', data: { login: 'admin', name: 'ci', scope: { read: ['order-*'], write: ['s'] } } },
    { type: 'SignInFailed', data: { who: null, by: 'token', from: '10.1.2.4', times: 1 } },
    { type: 'SignInFailed', data: { who: null, by: 'ticket', from: '10.1.2.4', times: 1 } }
  ])
  t.equal(records.length, 4)
  t.notMatch(JSON.stringify(records), /hash|salt|dbk_/)
})

t.test(
  'with --insecure, a new account is recorded, but changed access rules and deleted streams are not',
  async (t) => {
    const { app } = await openApp(t)
    await append(app, 's', { type: 'T' })
    await setRules(app, 's', { read: 'ann' })
    await app.inject({ method: 'DELETE', url: '/streams/s', headers: asJson() })
    t.same(await auditRecordsAfter(app, -1), [])
    const payload = { loginName: 'eve', password: 'eve' }
    await app.inject({ method: 'POST', url: '/users', headers: asJson(), payload })
    t.match(await auditRecordsAfter(app, -1), [{ type: 'UserCreated', data: { by: 'insecure', login: 'eve' } }])
  }
)
