/** Accounts, tokens and settings are the same after a restart, after any change of their streams. */
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { serverEvent } from '../../src/streams/new-event.js'
import { append, openApp } from '../helpers/app.js'
import { admin, basic, bearer, makeToken, makeUser, ops, TEST_ACTOR } from '../helpers/people.js'

t.test('the defaults and rules are the same after a restart', async (t) => {
  const directory = t.testdir({})
  const first = await openApp(t, { insecure: false, directory })
  const ann = await makeUser(first.store, 'ann')
  const { text } = await makeToken(first.store, 'ann', { read: ['*'] })
  const gone = await makeToken(first.store, 'ann', { read: ['*'] })
  await first.app.inject({ method: 'DELETE', url: `/tokens/${gone.id}`, headers: ann })
  await append(first.app, '$settings', { type: '$settings', data: { $userStreamAcl: { $w: '$admins' } } }, admin)
  await first.app.inject({ method: 'POST', url: '/users/ops/command/disable', headers: admin })
  await first.app.close()
  const { app } = await openApp(t, { insecure: false, directory })
  t.equal((await append(app, 's', { type: 'T' }, ann)).statusCode, 403)
  t.equal((await app.inject({ url: '/events', headers: bearer(text) })).statusCode, 200)
  t.equal((await app.inject({ url: '/events', headers: bearer(gone.text) })).statusCode, 401)
  t.equal((await app.inject({ url: '/users/$current', headers: ops })).statusCode, 401)
  t.equal((await app.inject({ url: '/users/$current', headers: admin })).statusCode, 200)
})

t.test(
  'a restart changes no account, token or setting, even after their streams were changed or deleted',
  async (t) => {
    const directory = t.testdir({})
    const first = await openApp(t, { insecure: false, directory })
    const people = ['kept', 'truncated', 'deleted', 'shown', 'returned', 'hidden', 'counted']
    for (const login of people) await makeUser(first.store, login)
    const { text } = await makeToken(first.store, 'kept', { read: ['*'] })
    const metadata = async (stream: string, document: object) => {
      const payload = { ...document }
      const headers = { ...admin, 'content-type': 'application/json' }
      const url = `/streams/${encodeURIComponent(stream)}/metadata`
      const { statusCode, body } = await first.app.inject({ method: 'PUT', url, headers, payload })
      if (statusCode > 201) throw new Error(body)
    }
    // No request can do this.
    const remove = (stream: string) =>
      first.store.writer.delete({ kind: 'delete', stream, expected: 'any', permanent: false })
    const settings = (data: object) => append(first.app, '$settings', { type: '$settings', data }, admin)
    await settings({ $userStreamAcl: { $w: '$admins' } })
    await settings({ $userStreamAcl: { $w: 'kept' } })
    await metadata('$settings', { truncateBefore: 1 })
    await metadata('$user-truncated', { truncateBefore: 7 })
    await metadata('$user-counted', { maxCount: 1 })
    const noted = [serverEvent('$user-counted', 'Noted', {})]
    await first.store.writer.append({ events: noted, conditions: [], kind: 'append' })
    await metadata('$tokens', { truncateBefore: 100 })
    await metadata('$user-admin', { truncateBefore: 100 })
    await remove('$user-deleted')
    await metadata('$user-shown', { truncateBefore: 7 })
    await metadata('$user-shown', {})
    await metadata('$user-late', { truncateBefore: 7 })
    await makeUser(first.store, 'late')
    await remove('$user-hidden')
    await metadata('$user-hidden', { maxCount: 5 })
    await remove('$user-returned')
    await first.store.accounts.create(TEST_ACTOR, 'returned', { fullName: null, groups: null }, 'returned')
    const known = async ({ app }: { app: FastifyInstance }) => {
      const statuses: Record<string, number> = {}
      for (const login of [...people, 'late']) {
        const { statusCode } = await app.inject({ url: '/users/$current', headers: basic(login, login) })
        statuses[login] = statusCode
      }
      statuses.admin = (await app.inject({ url: '/users', headers: admin })).statusCode
      statuses.token = (await app.inject({ url: '/events', headers: bearer(text) })).statusCode
      statuses.settings = (await append(app, 's', { type: 'T' }, basic('kept', 'kept'))).statusCode
      statuses.others = (await append(app, 's', { type: 'T' }, basic('counted', 'counted'))).statusCode
      return statuses
    }
    const before = await known(first)
    t.same(before, {
      ...{ kept: 200, truncated: 401, deleted: 401, shown: 200, late: 401, returned: 200, hidden: 401, counted: 200 },
      ...{ admin: 200, token: 200, settings: 201, others: 403 }
    })
    await first.store.rules.load(first.store.reader)
    await first.store.accounts.load()
    await first.store.tokens.load()
    t.same(await known(first), before, 'read again')
    await first.app.close()
    t.same(await known(await openApp(t, { insecure: false, directory })), before, 'after a restart')
  }
)
