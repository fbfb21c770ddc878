/** The cost of planning: conditions look up names, decode each planned event once, and yield to the event loop. */
import t from 'tap'
import { DaybookError } from '../../src/errors.js'
import { METADATA_TYPE } from '../../src/streams/metadata.js'
import type { MatchItem } from '../../src/writing/plan/event-condition.js'
import { planCommit, planInSteps } from '../../src/writing/plan/plan-commit.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { countWork } from '../helpers/counted-work.js'
import { encodeEvent } from '../helpers/events.js'
import { snapshotOf } from '../helpers/planning.js'

const types = (prefix: string) => Array.from({ length: 1000 }, (_, i) => `${prefix}-${i}`)

function decision(stream: string, items: readonly MatchItem[], tags?: string[]): AppendAll {
  const events = [encodeEvent(stream, { type: 'Decided', ...(tags && { tags }) })]
  return { kind: 'append', events, conditions: [], matches: [{ items, after: -1, index: 0 }] }
}

/** Plans requests. Returns the total work and the most work between two yields. */
function planCounted(t: Parameters<typeof countWork>[0], requests: readonly AppendAll[]) {
  const streams = [...new Set(requests.flatMap(({ events }) => events.map(({ stream }) => stream)))]
  const snapshot = { ...snapshotOf(streams), matches: new Map(requests.map((_, i) => [i, [undefined]] as const)) }
  const work = countWork(t)
  const all = { lookups: 0, decoded: 0 }
  const most = { lookups: 0, decoded: 0 }
  for (const steps = planInSteps(snapshot, requests, 1); ; ) {
    const step = steps.next()
    all.lookups += work.lookups
    all.decoded += work.decoded
    most.lookups = Math.max(most.lookups, work.lookups)
    most.decoded = Math.max(most.decoded, work.decoded)
    Object.assign(work, { lookups: 0, decoded: 0 })
    if (step.done) return { all, most, plan: step.value }
  }
}

t.test('a condition on 1,000 types costs 1,000 look-ups, however many events are planned', async (t) => {
  for (const [name, items] of [
    ['one item', [{ types: types('Never'), tags: [] }]],
    ['1,000 items', types('Never').map((type) => ({ types: [type], tags: [] }))]
  ] as const) {
    await t.test(name, async (t) => {
      const { all, most, plan } = planCounted(
        t,
        Array.from({ length: 100 }, (_, i) => decision(`s-${i}`, items, ['a', 'b']))
      )
      t.equal(plan.planned.length, 100)
      t.ok(all.lookups < 100 * 1000 * 1.5, `${all.lookups} look-ups for 100 conditions of 1,000 types`)
      t.ok(all.decoded <= 100, `${all.decoded} events were decoded`)
      t.ok(most.lookups < 10_000, `${most.lookups} look-ups between two yields`)
    })
  }
})

t.test('a planned event is decoded once, however many conditions need it', async (t) => {
  const events = Array.from({ length: 4000 }, (_, i) => encodeEvent(`s-${i % 9}`, { tags: ['common', `own-${i}`] }))
  const first: AppendAll = { kind: 'append', events, conditions: [] }
  const asking = Array.from({ length: 50 }, (_, i) => decision(`d-${i}`, [{ types: ['Never'], tags: ['common'] }]))
  const { all, most, plan } = planCounted(t, [first, ...asking])
  t.equal(plan.planned.length, 4050, 'no event matches')
  t.ok(all.decoded <= 4050, `${all.decoded} events were decoded`)
  t.ok(most.lookups < 50_000, `${most.lookups} look-ups between two yields`)
})

t.test('conditions on tags that no event has together do not hold up the event loop', async (t) => {
  const tag = (i: number) => `t-${i % 45}`
  const events = Array.from({ length: 4000 }, (_, i) =>
    encodeEvent('s', { tags: Array.from({ length: 16 }, (_, j) => tag(i + 2 * j)) })
  )
  const first: AppendAll = { kind: 'append', events, conditions: [] }
  const items = Array.from({ length: 1000 }, (_, i) => ({ types: [], tags: [tag(i), tag(i + 1 + 2 * (i % 20)), 'no'] }))
  const { all, most } = planCounted(t, [first, decision('d', items)])
  t.ok(most.lookups < 50_000, `${most.lookups} look-ups between two yields`)
  t.ok(all.decoded <= 4001)
})

t.test('changed metadata is checked once for each caller, not for each condition', async (t) => {
  const metadata = Array.from({ length: 300 }, (_, i) => encodeEvent(`$$m-${i}`, { type: METADATA_TYPE, data: {} }))
  const first: AppendAll = { kind: 'append', events: metadata, conditions: [] }
  const conditions = Array.from({ length: 300 }, (_, index) => ({
    items: [{ types: ['Never'], tags: [] }],
    after: -1,
    index,
    seenBy: { login: 'ann', groups: [], by: 'password' as const }
  }))
  const asking: AppendAll = { kind: 'append', events: [encodeEvent('s')], conditions: [], matches: conditions }
  const snapshot = {
    ...snapshotOf(['s', ...metadata.flatMap((_, i) => [`$$m-${i}`, `m-${i}`])]),
    matches: new Map([[1, conditions.map(() => undefined)]])
  }
  const work = countWork(t)
  const { answers } = planCommit(snapshot, [first, asking], 1)
  t.notOk(answers[1] instanceof DaybookError, 'the append is accepted')
  t.ok(work.lookups < 50_000, `${work.lookups} look-ups for 300 conditions after 300 changes`)
})
