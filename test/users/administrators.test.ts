/** Simultaneous password attempts, the last administrator, and how default passwords are replaced. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Store } from '../../src/store/store.js'
import { ask, openApp } from '../helpers/app.js'
import { daybook, serve } from '../helpers/cli.js'
import { eventually } from '../helpers/live-events.js'
import { admin, basic, makeUser, ops } from '../helpers/people.js'

type Who = Record<string, string>

/** Counts password checks. */
function countChecks(store: Store): { count: number } {
  const checks = { count: 0 }
  const { verify } = store.accounts
  store.accounts.verify = (...words) => {
    checks.count++
    return verify.apply(store.accounts, words)
  }
  return checks
}

t.test('simultaneous sign-ins with different passwords are separate attempts', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const checks = countChecks(store)
  const guesses = Array.from({ length: 20 }, (_, i) => ask(app, 'GET /users', basic('admin', `guess-${i}`)))
  for (const { statusCode } of await Promise.all(guesses)) t.equal(statusCode, 401)
  t.equal(checks.count, 20)
  const places = ['10.0.0.1', '10.0.0.2'].map((remoteAddress) =>
    app.inject({ url: '/users', headers: { accept: '*/*', ...basic('admin', 'guess') }, remoteAddress })
  )
  for (const { statusCode } of await Promise.all(places)) t.equal(statusCode, 401)
  t.equal(checks.count, 22, 'addresses do not share an attempt')
})

t.test('the last administrator cannot be deleted, disabled or demoted', async (t) => {
  const { app, store } = await openApp(t, { insecure: false })
  const attempts: [string, unknown?][] = [['DELETE /users/admin'], ['POST /users/admin/command/disable', {}]]
  for (const [call, body] of attempts) {
    t.match((await ask(app, call, admin, body)).json(), { success: false, error: 'Conflict' }, call)
    t.equal((await ask(app, call, admin, body)).statusCode, 409, call)
  }
  t.equal(
    (await ask(app, 'PUT /users/admin', admin, { groups: [] })).statusCode,
    200,
    'admin is an administrator without a group'
  )
  t.equal((await ask(app, 'GET /users', admin)).statusCode, 200)

  const eve = await makeUser(store, 'eve', ['$admins'])
  t.equal((await ask(app, 'DELETE /users/admin', eve)).statusCode, 200, 'with a second administrator it can be deleted')
  for (const [call, body] of [
    ['DELETE /users/eve'],
    ['POST /users/eve/command/disable', {}],
    ['PUT /users/eve', { groups: [] }],
    ['PUT /users/eve', { fullName: 'Eve' }]
  ] as [string, unknown?][]) {
    t.equal((await ask(app, call, eve, body)).statusCode, 409, `${call} ${JSON.stringify(body)}`)
  }
  t.equal(
    (await ask(app, 'PUT /users/eve', eve, { groups: ['$admins', 'sales'] })).statusCode,
    200,
    'a change that keeps it an administrator is allowed'
  )
  const second = basic('eve', 'eve')
  await ask(app, 'POST /users', second, { loginName: 'idle', groups: ['$admins'], password: 'idle' })
  await ask(app, 'POST /users/idle/command/disable', second, {})
  t.equal((await ask(app, 'DELETE /users/eve', second)).statusCode, 409, 'a disabled administrator does not count')
  await ask(app, 'POST /users/idle/command/enable', second, {})
  const both = await Promise.all([ask(app, 'DELETE /users/eve', second), ask(app, 'DELETE /users/idle', second)])
  t.ok(
    both.some(({ statusCode }) => statusCode === 200),
    'of two administrators that delete each other, one succeeds'
  )
  t.ok(
    store.accounts.all().some(({ groups, disabled }) => groups?.includes('$admins') && !disabled),
    'one administrator is left'
  )
  t.equal((await ask(app, 'GET /users/$current', ops)).statusCode, 200)
})

t.test('a password for a default account can come from a file; a warning names one that does not match', async (t) => {
  const directory = t.testdir({ admin: 'of-admin\n', ops: 'of-ops' })
  const db = join(directory, 'db')
  const files = {
    DAYBOOK_ADMIN_PASSWORD_FILE: join(directory, 'admin'),
    DAYBOOK_OPS_PASSWORD_FILE: join(directory, 'ops')
  }
  const argv = ['--db', db, '--port', '0', '--trust-proxy']
  const start = async (env: Record<string, string>) => {
    const { child, banner, url } = await serve(argv, { env })
    let output = banner
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
    t.teardown(() => child.kill('SIGKILL'))
    const statusOf = async (who: Who) => (await fetch(`${url}/users/$current`, { headers: who })).status
    const stop = () => new Promise((resolve) => child.once('exit', resolve) && child.kill('SIGTERM'))
    return { statusOf, stop, output: () => output }
  }
  const first = await start(files)
  t.equal(await first.statusOf(basic('admin', 'of-admin')), 200, 'the line break at the end of the file is ignored')
  t.equal(await first.statusOf(basic('ops', 'of-ops')), 200)
  await eventually('the banner appears', () => /Daybook /.test(first.output()))
  t.notMatch(first.output(), /WARNING: DAYBOOK_/)
  t.notMatch(first.output(), /of-admin|of-ops/)
  await first.stop()

  writeFileSync(join(directory, 'admin'), 'another')
  const again = await start(files)
  await eventually('the warning appears', () =>
    /WARNING: DAYBOOK_ADMIN_PASSWORD has no effect: the password of admin was changed/.test(again.output())
  )
  t.notMatch(again.output(), /DAYBOOK_OPS_PASSWORD/)
  t.equal(await again.statusOf(basic('admin', 'another')), 401)
  t.equal(await again.statusOf(basic('admin', 'of-admin')), 200)
  await again.stop()

  const missing = { ...files, DAYBOOK_ADMIN_PASSWORD_FILE: join(directory, 'none') }
  t.match(await daybook(argv, { env: missing }), {
    code: 1,
    stderr: /cannot read .*, which DAYBOOK_ADMIN_PASSWORD_FILE names/
  })
})
