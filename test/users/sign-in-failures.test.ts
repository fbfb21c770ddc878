/** Failed sign-ins: what the audit is told of them, how often, and when an address that had to wait is let in again. */
import t, { type Test } from 'tap'
import { limits } from '../../src/limits.js'
import { Failures } from '../../src/users/sign-in-failures.js'
import { append, openApp, type TestApp } from '../helpers/app.js'
import { movedClock, StillClock } from '../helpers/clock.js'
import { admin, asJson, basic } from '../helpers/people.js'

/** Failures by a clock that stands still, and what they told. */
async function onStillClock(t: Test) {
  const { app, store } = await openApp(t, { insecure: false })
  const clock = new StillClock()
  const failures = new Failures({ writer: store.writer, clock, metrics: store.metrics })
  return { failures, clock, told: () => toldIn({ app }) }
}

async function toldIn({ app }: Pick<TestApp, 'app'>) {
  // The writer takes one after the other: what was to be told stands before this.
  await append(app, 'fence', { type: 'T' }, admin)
  const { statusCode, body } = await app.inject({ url: '/streams/$audit?limit=1000', headers: asJson(admin) })
  const { events } = statusCode === 404 ? { events: [] } : JSON.parse(body)
  return events.map(({ data }: { data: object }) => data) as { from?: string; who: string | null; times: number }[]
}

t.test('the first failure is told after a second, those that follow once a minute', async (t) => {
  const { failures, clock, told } = await onStillClock(t)
  failures.gather('10.0.0.1', 'ann', 'password')
  clock.move(999)
  t.same(await told(), [])
  clock.move(1)
  t.match(await told(), [{ from: '10.0.0.1', who: 'ann', by: 'password', times: 1 }])
  for (let i = 0; i < 59; i++) {
    failures.gather('10.0.0.1', 'ann', 'password')
    clock.move(1000)
  }
  t.equal((await told()).length, 1, 'gathered')
  clock.move(1000)
  t.match((await told()).slice(1), [{ from: '10.0.0.1', who: 'ann', times: 59 }])
  clock.move(3_600_000)
  t.equal((await told()).length, 2, 'nothing failed, nothing is told')
  failures.gather('10.0.0.2', undefined, 'token')
  clock.move(1000)
  t.match((await told()).at(-1), { from: '10.0.0.2', who: null, by: 'token', times: 1 })
})

t.test('however many addresses fail, few events are written, and none that failed is missing from them', async (t) => {
  const { failures, clock, told } = await onStillClock(t)
  for (let i = 0; i < 500; i++) failures.gather(`10.0.${i >> 8}.${i & 255}`, undefined, i % 2 ? 'token' : 'password')
  clock.move(1000)
  const events = await told()
  t.ok(events.length <= 22, `${events.length} events`)
  t.equal(
    events.reduce((sum, { times }) => sum + times, 0),
    500
  )
})

t.test('what has not been told yet is told when the server stops', async (t) => {
  const directory = t.testdir({})
  const { app } = await openApp(t, { insecure: false, directory })
  await app.inject({ url: '/users', headers: basic('admin', 'guess'), remoteAddress: '10.9.9.9' })
  await app.close()
  t.match(await toldIn(await openApp(t, { insecure: false, directory })), [
    { from: '10.9.9.9', who: 'admin', times: 1 }
  ])
})

t.test('after a hundred wrong passwords an address has to wait, and is let in again as time goes on', async (t) => {
  const clock = movedClock()
  const { app, store } = await openApp(t, { insecure: false, clock })
  store.accounts.verify = async () => undefined // a hundred hashes would be ten seconds
  const ask = (password: string) => app.inject({ url: '/users', headers: asJson(basic('admin', password)) })
  for (let i = 0; i < limits.sign_in_failures_burst; i++) t.equal((await ask(`wrong ${i}`)).statusCode, 401)
  const refused = await ask('wrong')
  t.match(refused.json(), { status: 429, code: 'too-many-attempts' })
  clock.ahead += Number(refused.headers['retry-after']) * 1000
  t.equal((await ask('wrong')).statusCode, 401, 'as it was told')
  t.equal((await ask('wrong')).statusCode, 429, 'one, and not as many as before')
  clock.ahead += 3_600_000
  for (let i = 0; i < limits.sign_in_failures_burst; i++) t.equal((await ask(`again ${i}`)).statusCode, 401)
  t.equal((await ask('wrong')).statusCode, 429, 'never more at once')
})
