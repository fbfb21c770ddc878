/** A clock that is wrong: what the server does then, and how it says so. */
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { append, ask, openApp } from '../helpers/app.js'
import { JudgedClock, StillClock } from '../helpers/clock.js'
import { admin } from '../helpers/people.js'

const SECOND = 1000
const HOUR = 3600 * SECOND
const YEAR = 365 * 24 * HOUR

const ready = async (app: FastifyInstance) => {
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

/** A server on a clock whose jumps are judged, and what it warns of. */
async function judged(t: Test) {
  const clock = new JudgedClock()
  const opened = await openApp(t, { clock })
  const warnings: string[] = []
  opened.store.clockWatch.tell((warning) => warnings.push(warning))
  return { ...opened, clock, warnings }
}

t.test('with a clock that is right the server reports no trouble', async (t) => {
  const { app, clock, warnings } = await judged(t)
  await append(app, 's', { type: 'T' })
  clock.move(HOUR)
  t.same(await ready(app), { status: 'ok' })
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), 0)
  t.same(warnings, [])
})

t.test(
  'a clock behind the last event: readiness, metrics and a warning say how far, what it means and what to do',
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
    t.match(await ready(app), {
      status: 'ok',
      clock: { behindSeconds: (10 * YEAR - HOUR) / SECOND, detail: /^The clock is/ }
    })
    t.equal(await gauge(app, 'daybook_clock_behind_seconds'), (10 * YEAR - HOUR) / SECOND)
    t.equal(warnings.length, 1, 'it is said once')

    clock.ahead = 10 * YEAR - HOUR
    clock.move(SECOND)
    t.same(await ready(app), { status: 'ok' }, 'when the clock has passed it there is nothing more to say')
    t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)

    clock.ahead = 0
    store.readOnlyMode.begin(new Error('the disk is full'))
    t.match(await ready(app), { status: 'read-only', clock: { behindSeconds: Number } }, 'whatever else there is')
  }
)

t.test('a clock behind by some seconds is warned of nowhere, and measured', async (t) => {
  const clock = new StillClock()
  const { app } = await openApp(t, { clock })
  await append(app, 's', { type: 'T' })
  clock.ahead = -9 * SECOND
  t.same(await ready(app), { status: 'ok' })
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 9)
  clock.ahead = -11 * SECOND
  t.match(await ready(app), { clock: { behindSeconds: 11, detail: /11 seconds behind/ } })
})

t.test('a clock that is ten years ahead for four seconds leaves nothing in the log', async (t) => {
  const { app, clock, warnings } = await judged(t)
  clock.move(2 * SECOND)
  clock.ahead = 10 * YEAR
  t.equal(await createdOf(app), 1e12 + 2 * SECOND)
  t.match(await ready(app), { status: 'ok', clock: { jumpSeconds: (10 * YEAR) / SECOND, detail: /3,650 days ahead/ } })
  clock.move(4 * SECOND)
  t.equal(await createdOf(app), 1e12 + 6 * SECOND)
  clock.ahead = 0
  clock.move(60 * SECOND)
  t.equal(await createdOf(app), 1e12 + 66 * SECOND)
  t.same(await ready(app), { status: 'ok' })
  t.match(warnings, [/jumped 3,650 days ahead/, /came back after a jump of 3,650 days ahead/])
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), (10 * YEAR) / SECOND)
  t.equal(await gauge(app, 'daybook_clock_behind_seconds'), 0)
})

t.test('a jump that lasts is followed after ten seconds, and a jump back later is reported too', async (t) => {
  const { app, clock, warnings } = await judged(t)
  clock.ahead = 3 * HOUR
  clock.move(SECOND)
  t.equal(await createdOf(app), 1e12 + SECOND)
  clock.move(10 * SECOND)
  const pinned = await createdOf(app)
  t.equal(pinned, 1e12 + 11 * SECOND + 3 * HOUR)
  t.same(await ready(app), { status: 'ok' })
  clock.ahead = 0
  clock.move(11 * SECOND)
  t.equal(await createdOf(app), pinned)
  t.match(await ready(app), { status: 'ok', clock: { behindSeconds: 3 * 3600 - 11 } })
  t.equal(await gauge(app, 'daybook_clock_jump_seconds'), -3 * 3600)
  t.match(warnings, [
    /jumped 3 hours ahead/,
    /stays 3 hours ahead/,
    /jumped 3 hours back/,
    /stays 3 hours back/,
    /The clock is 3 hours behind/
  ])
})

t.test(
  'what is kept for a time, and what is asked for since a time, does not notice a clock that comes back',
  async (t) => {
    const { app, clock } = await judged(t)
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
    t.same(await counts(), [1, 0], 'what has passed counts')
  }
)
