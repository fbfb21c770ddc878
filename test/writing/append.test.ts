/** Plans of appends. Planning is pure: these tests need no disk and no clock. */
import t from 'tap'
import { DaybookError } from '../../src/errors.js'
import { type AppendResult, planAppend } from '../../src/writing/plan/plan-append.js'
import { PlanningView } from '../../src/writing/plan/planning-view.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { encodeEvent } from '../helpers/events.js'
import { snapshotOf } from '../helpers/planning.js'

const A = '5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'
const B = '6c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'

/** @param heads numbers of the last events, by stream */
function view(heads: Record<string, number> = {}): PlanningView {
  const counts = Object.fromEntries(Object.entries(heads).map(([stream, head]) => [stream, head + 1]))
  return new PlanningView(snapshotOf(['a', 'b', 'c'], counts), 1e12)
}

function request(events: AppendAll['events'], more: Partial<AppendAll> = {}): AppendAll {
  return { events, conditions: [], kind: 'append', ...more }
}

function accepted(plan: AppendResult | DaybookError): AppendResult {
  if (plan instanceof DaybookError) throw plan
  return plan
}

t.test('event numbers continue those of the stream, positions those of the log', async (t) => {
  const plan = accepted(planAppend(request([encodeEvent('a'), encodeEvent('b'), encodeEvent('a')]), view({ a: 4 })))
  t.same(
    plan.events.map(({ number, position }) => [number, position]),
    [
      [5, 100],
      [0, 101],
      [6, 102]
    ]
  )
  t.same(
    [...plan.heads],
    [
      ['a', 6],
      ['b', 0]
    ]
  )
})

t.test('a refusal names all failed conditions, and no event is planned', async (t) => {
  const before = view({ a: 4 })
  const conditions = [
    { stream: 'a', expected: 3 },
    { stream: 'a', expected: 4 },
    { stream: 'b', expected: 'stream_exists' },
    { stream: 'c', expected: 'no_stream' }
  ] as const
  const refused = planAppend(request([encodeEvent('a')], { conditions }), before)
  t.match(refused, {
    code: 'wrong-expected-version',
    details: {
      stream: 'a',
      expected: 3,
      head: 4,
      written: false,
      failed: [{ stream: 'a' }, { stream: 'b', head: null }]
    }
  })
  t.equal(before.planned.length, 0)
})

t.test('an append sees the earlier appends of the same commit', async (t) => {
  const shared = view()
  accepted(planAppend(request([encodeEvent('a')], { conditions: [{ stream: 'a', expected: 'no_stream' }] }), shared))
  t.match(planAppend(request([encodeEvent('a')], { conditions: [{ stream: 'a', expected: 'no_stream' }] }), shared), {
    code: 'wrong-expected-version'
  })
  t.equal(
    accepted(planAppend(request([encodeEvent('a')], { conditions: [{ stream: 'a', expected: 0 }] }), shared)).events[0]
      ?.number,
    1
  )
})

t.test('a retry returns the numbers and positions of the first attempt, even if its conditions now fail', async (t) => {
  const shared = view()
  const append = request([encodeEvent('a', { id: A, data: 1 })], {
    conditions: [{ stream: 'a', expected: 'no_stream' }]
  })
  const first = accepted(planAppend(append, shared))
  const again = accepted(
    planAppend(request([encodeEvent('a', { id: A, data: 1 })], { conditions: append.conditions }), shared)
  )
  t.equal(again.replayed, true)
  t.equal(again.events[0]?.position, first.events[0]?.position)
  t.equal(shared.planned.length, 1)
  t.match(planAppend(request([encodeEvent('a', { id: A, data: 2 })]), shared), { code: 'event-id-reused' })
  t.match(planAppend(request([encodeEvent('a', { id: A, data: 1 }), encodeEvent('a', { id: B })]), shared), {
    code: 'partial-replay'
  })
  t.equal(
    accepted(planAppend(request([encodeEvent('b', { id: A, data: 1 })]), shared)).replayed,
    false,
    'ids are unique per stream only'
  )
})

t.test('a streamed append skips known events and stops at the first refused event', async (t) => {
  const shared = view()
  accepted(planAppend(request([encodeEvent('a', { id: A, data: 1 })]), shared))
  const events = [
    encodeEvent('a', { id: A, data: 1 }),
    encodeEvent('a', { id: B }),
    encodeEvent('a', { id: A, data: 'other' }),
    encodeEvent('a')
  ]
  const plan = accepted(planAppend({ kind: 'append-each', events }, shared))
  t.same(
    plan.events.map(({ replayed }) => replayed),
    [true, false]
  )
  t.match(plan.refused, { index: 2, error: { code: 'event-id-reused' } })
})

t.test('the same requests in the same order give the same plan', async (t) => {
  const run = () => {
    const shared = view({ a: 1 })
    return [
      planAppend(request([encodeEvent('a', { id: A }), encodeEvent('b', { id: B })]), shared),
      planAppend(request([encodeEvent('a', { id: A }), encodeEvent('b', { id: B })]), shared),
      planAppend(request([encodeEvent('b')], { conditions: [{ stream: 'b', expected: 5 }] }), shared)
    ].map((plan) =>
      plan instanceof DaybookError ? plan.details : plan.events.map(({ number, position }) => [number, position])
    )
  }
  t.same(run(), run())
})
