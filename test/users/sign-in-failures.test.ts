/** Failed sign-ins: what the audit records of them, how often, and when a blocked address may try again. */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { Failures } from '../../src/users/sign-in-failures.js'
import { append, openApp, type TestApp } from '../helpers/app.js'
import { movedClock, StillClock } from '../helpers/clock.js'
import { admin, asJson, basic } from '../helpers/people.js'

/** Failures with a clock that stands still, and a function that returns the audited ones. */
async function onStillClock(t: Test) {
  const { app, store } = await openApp(t, { insecure: false })
  const clock = new StillClock()
  const failures = new Failures({ writer: store.writer, clock, metrics: store.metrics })
  return { failures, clock, audited: () => auditedIn({ app }) }
}

async function auditedIn({ app }: Pick<TestApp, 'app'>) {
  // The writer works in order: all failures written so far precede this event.
  await append(app, 'fence', { type: 'T' }, admin)
  const { statusCode, body } = await app.inject({ url: '/streams/$audit?limit=1000', headers: asJson(admin) })
  const { events } = statusCode === 404 ? { events: [] } : JSON.parse(body)
  return events.map(({ data }: { data: object }) => data) as { from?: string; who: string | null; times: number }[]
}

t.test('the first failure is written after a second, later ones once a minute', async (t) => {
  const { failures, clock, audited } = await onStillClock(t)
  failures.record('10.0.0.1', 'ann', 'password')
  clock.move(999)
  t.same(await audited(), [])
  clock.move(1)
  t.match(await audited(), [{ from: '10.0.0.1', who: 'ann', by: 'password', times: 1 }])
  for (let i = 0; i < 59; i++) {
    failures.record('10.0.0.1', 'ann', 'password')
    clock.move(1000)
  }
  t.equal((await audited()).length, 1, 'later failures are batched')
  clock.move(1000)
  t.match((await audited()).slice(1), [{ from: '10.0.0.1', who: 'ann', times: 59 }])
  clock.move(3_600_000)
  t.equal((await audited()).length, 2, 'no failure, no event')
  failures.record('10.0.0.2', undefined, 'token')
  clock.move(1000)
  t.match((await audited()).at(-1), { from: '10.0.0.2', who: null, by: 'token', times: 1 })
})

t.test('failures from many addresses write few events, which count every failure', async (t) => {
  const { failures, clock, audited } = await onStillClock(t)
  for (let i = 0; i < 500; i++) failures.record(`10.0.${i >> 8}.${i & 255}`, undefined, i % 2 ? 'token' : 'password')
  clock.move(1000)
  const events = await audited()
  t.ok(events.length <= 22, `${events.length} events`)
  t.equal(
    events.reduce((sum, { times }) => sum + times, 0),
    500
  )
})

t.test('queued failures are written when the server stops', async (t) => {
  const directory = t.testdir({})
  const { app } = await openApp(t, { insecure: false, directory })
  await app.inject({ url: '/users', headers: basic('admin', 'guess'), remoteAddress: '10.9.9.9' })
  await app.close()
  t.match(await auditedIn(await openApp(t, { insecure: false, directory })), [
    { from: '10.9.9.9', who: 'admin', times: 1 }
  ])
})

t.test('after a hundred wrong passwords an address has to wait, and may try again later', async (t) => {
  const clock = movedClock()
  const { app, store } = await openApp(t, { insecure: false, clock })
  store.accounts.verify = async () => undefined // a hundred hashes would take ten seconds
  const ask = (password: string) => app.inject({ url: '/users', headers: asJson(basic('admin', password)) })
  for (let i = 0; i < limits.sign_in_failures_burst; i++) t.equal((await ask(`wrong ${i}`)).statusCode, 401)
  const refused = await ask('wrong')
  t.match(refused.json(), { status: 429, code: 'too-many-attempts' })
  clock.ahead += Number(refused.headers['retry-after']) * 1000
  t.equal((await ask('wrong')).statusCode, 401, 'an attempt is allowed after the given time')
  t.equal((await ask('wrong')).statusCode, 429, 'only one attempt is allowed')
  clock.ahead += 3_600_000
  for (let i = 0; i < limits.sign_in_failures_burst; i++) t.equal((await ask(`again ${i}`)).statusCode, 401)
  t.equal((await ask('wrong')).statusCode, 429, 'never more than the burst')
})
