/** A wrong clock: how the server behaves, and how it reports the problem. */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { append, ask, openApp } from '../helpers/app.js'
import { JudgedClock, StillClock } from '../helpers/clock.js'
import { admin } from '../helpers/people.js'

const SECOND = 1000
const HOUR = 3600 * SECOND
const YEAR = 365 * 24 * HOUR

const readiness = async (app: FastifyInstance) => {
  const { statusCode, body } = await app.inject('/readyz')
  t.equal(statusCode, 200)
  return JSON.parse(body)
}

const gauge = async (app: FastifyInstance, name: string) => {
  const { body } = await ask(app, 'GET /metrics', admin)
  return Number(new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1])
}

const createdOf = async (app: FastifyInstance) => {
  const { events } = (await append(app, 's', { type: 'T' })).json()
  return Date.parse(events[0].created)
}

/** Opens a server with a clock that judges jumps, and collects its warnings. */
async function openWithJudgedClock(t: Test) {
  const clock = new JudgedClock()
  const opened = await openApp(t, { clock })
  const warnings: string[] = []
  opened.store.clockWatch.tell((warning) => warnings.push(warning))
  return { ...opened, clock, warnings }
}

t.test('a server with a correct clock reports no clock problem', async (t) => {
  const { app, clock, warnings } = await openWithJudgedClock(t)
  await append(app, 's', { type: 'T' })
  clock.move(HOUR)
  t.same(await readiness(app), { status: 'ok' })
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), 0)
  t.same(warnings, [])
})

t.test(
  'a clock behind the last event is reported by readiness, metrics and one warning that says what to do',
  async (t) => {
    const directory = t.testdir({})
    const ahead = new StillClock()
    ahead.ahead = 10 * YEAR
    const before = await openApp(t, { directory, clock: ahead })
    const pinned = await createdOf(before.app)
    await before.app.close()

    const clock = new StillClock()
    const { app, store } = await openApp(t, { directory, clock })
    const warnings: string[] = []
    store.clockWatch.tell((warning) => warnings.push(warning))
    t.match(warnings, [
      /^The clock is 3,650 days behind the last event \(position 0, created 20.*maxAge.*set it.*import it/
    ])
    clock.move(HOUR)
    t.equal(await createdOf(app), pinned, 'created never goes back')
    t.match(await readiness(app), {
      status: 'ok',
      clock: { behindSeconds: (10 * YEAR - HOUR) / SECOND, detail: /^The clock is/ }
    })
    t.equal(await gauge(app, 'daybook_clock_behind_seconds'), (10 * YEAR - HOUR) / SECOND)
    t.equal(warnings.length, 1, 'there is one warning')

    clock.ahead = 10 * YEAR - HOUR
    clock.move(SECOND)
    t.same(await readiness(app), { status: 'ok' }, 'once the clock has passed the last event, nothing is reported')
    t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)

    clock.ahead = 0
    store.readOnlyMode.begin(new Error('the disk is full'))
    t.match(
      await readiness(app),
      { status: 'read-only', clock: { behindSeconds: Number } },
      'read-only mode does not hide the clock problem'
    )
  }
)

t.test('a clock at most 10 seconds behind the last event is measured, but not reported', async (t) => {
  const clock = new StillClock()
  const { app } = await openApp(t, { clock })
  await append(app, 's', { type: 'T' })
  clock.ahead = -9 * SECOND
  t.same(await readiness(app), { status: 'ok' })
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 9)
  clock.ahead = -11 * SECOND
  t.match(await readiness(app), { clock: { behindSeconds: 11, detail: /11 seconds behind/ } })
})

t.test('a clock that is ten years ahead for four seconds does not change the times of events', async (t) => {
  const { app, clock, warnings } = await openWithJudgedClock(t)
  clock.move(2 * SECOND)
  clock.ahead = 10 * YEAR
  t.equal(await createdOf(app), 1e12 + 2 * SECOND)
  t.match(await readiness(app), {
    status: 'ok',
    clock: { jumpSeconds: (10 * YEAR) / SECOND, detail: /3,650 days ahead/ }
  })
  clock.move(4 * SECOND)
  t.equal(await createdOf(app), 1e12 + 6 * SECOND)
  clock.ahead = 0
  clock.move(60 * SECOND)
  t.equal(await createdOf(app), 1e12 + 66 * SECOND)
  t.same(await readiness(app), { status: 'ok' })
  t.match(warnings, [/jumped 3,650 days ahead/, /came back after a jump of 3,650 days ahead/])
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), (10 * YEAR) / SECOND)
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)
})

t.test('a jump that lasts ten seconds is accepted, and a later jump back is reported too', async (t) => {
  const { app, clock, warnings } = await openWithJudgedClock(t)
  clock.ahead = 3 * HOUR
  clock.move(SECOND)
  t.equal(await createdOf(app), 1e12 + SECOND)
  clock.move(10 * SECOND)
  const pinned = await createdOf(app)
  t.equal(pinned, 1e12 + 11 * SECOND + 3 * HOUR)
  t.same(await readiness(app), { status: 'ok' })
  clock.ahead = 0
  clock.move(11 * SECOND)
  t.equal(await createdOf(app), pinned)
  t.match(await readiness(app), { status: 'ok', clock: { behindSeconds: 3 * 3600 - 11 } })
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), -3 * 3600)
  t.match(warnings, [
    /jumped 3 hours ahead/,
    /stays 3 hours ahead/,
    /jumped 3 hours back/,
    /stays 3 hours back/,
    /The clock is 3 hours behind/
  ])
})

t.test('maxAge and reads from a relative time ignore a clock that jumps and comes back', async (t) => {
  const { app, clock } = await openWithJudgedClock(t)
  await ask(app, 'PUT /streams/s/metadata', {}, { maxAge: 'PT1H' })
  await append(app, 's', { type: 'T' })
  const counts = async () => {
    const answers = await Promise.all(['/streams/s', '/streams/s?from=-15m'].map((url) => app.inject(url)))
    return answers.map((answer) => answer.json().events.length)
  }
  clock.move(60 * SECOND)
  clock.ahead = 3 * HOUR
  t.same(await counts(), [1, 1])
  clock.move(4 * SECOND)
  t.same(await counts(), [1, 1])
  clock.ahead = -3 * HOUR
  clock.move(4 * SECOND)
  t.same(await counts(), [1, 1])
  clock.ahead = 0
  clock.move(20 * 60 * SECOND)
  t.same(await counts(), [1, 0], 'time that has passed counts')
})
