/** Stored accounts: one administrator always remains, and an account that is not understood is disabled. */
import t from 'tap'
import { serverEvent } from '../../src/streams/new-event.js'
import { openApp } from '../helpers/app.js'
import { admin, asJson, basic, makeUser } from '../helpers/people.js'

t.test('the last administrator cannot be deleted, disabled or demoted', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const root = await makeUser(store, 'root', ['$admins'])
  const ask = async (method: 'PUT' | 'POST' | 'DELETE', url: string, who: object, payload?: object) => {
    const { statusCode, body } = await app.inject({ method, url, headers: asJson(who), ...(payload && { payload }) })
    return `${statusCode} ${JSON.parse(body).error}`
  }
  t.equal(
    await ask('PUT', '/users/admin', root, { groups: [] }),
    '200 Success',
    'admin is an administrator by its login'
  )
  t.equal(await ask('POST', '/users/admin/command/disable', root), '200 Success')
  t.equal(await ask('DELETE', '/users/root', root), '409 Conflict')
  t.equal(
    await ask('POST', '/users/root/command/disable', root),
    '409 Conflict',
    'a disabled administrator does not count'
  )
  t.equal(await ask('PUT', '/users/root', root, { groups: ['$ops'] }), '409 Conflict')
  t.equal(await ask('PUT', '/users/root', root, {}), '409 Conflict', 'omitted groups become null')
  t.equal(await ask('PUT', '/users/root', root, { fullName: 'Root', groups: ['$admins'] }), '200 Success')
  t.equal(await ask('POST', '/users/admin/command/enable', root), '200 Success')
  const each = [ask('DELETE', '/users/root', root), ask('DELETE', '/users/admin', root)]
  t.same(
    (await Promise.all(each)).sort(),
    ['200 Success', '409 Conflict'],
    'only one of two simultaneous deletions succeeds'
  )
  t.equal(await ask('DELETE', '/users/admin', admin), '409 Conflict')
})

t.test('an account whose hash is missing, malformed or too costly is disabled, and costs no memory', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const hash = { salt: 'AAAA', hash: 'AAAA', scheme: { name: 'scrypt', N: 2 ** 15, r: 8, p: 3 } }
  const kept: Record<string, object> = {
    none: {},
    half: { salt: 'AAAA' },
    text: { ...hash, hash: 7 },
    other: { ...hash, scheme: { ...hash.scheme, name: 'md5' } },
    large: { ...hash, scheme: { ...hash.scheme, N: 2 ** 24, r: 64 } },
    long: { ...hash, scheme: { ...hash.scheme, p: 1e9 } },
    negative: { ...hash, scheme: { ...hash.scheme, N: -1 } }
  }
  for (const [loginName, fields] of Object.entries(kept)) {
    const made = serverEvent(`$user-${loginName}`, '$UserCreated', { loginName, disabled: false, ...fields })
    await store.writer.append({ events: [made], conditions: [], kind: 'append' })
    const { data } = (await app.inject({ url: `/users/${loginName}`, headers: asJson(admin) })).json()
    t.match(data, { loginName, disabled: true }, loginName)
    for (const password of ['', 'x']) {
      const headers = asJson(basic(loginName, password))
      t.equal((await app.inject({ url: '/users/$current', headers })).statusCode, 401, loginName)
    }
  }
  await store.accounts.load()
  t.match(store.accounts.get('large'), { disabled: true }, 'it is disabled after a reload, too')
})
