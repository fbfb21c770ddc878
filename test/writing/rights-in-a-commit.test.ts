/** Rights of appends and deletes in one commit: each request is checked by the rights after the requests before it. */
import t from 'tap'
import type { Actor, Principal } from '../../src/access/permissions.js'
import { DaybookError } from '../../src/errors.js'
import { type AppendResult, planAppend } from '../../src/writing/plan/plan-append.js'
import { planDelete } from '../../src/writing/plan/plan-delete.js'
import { PlanningView } from '../../src/writing/plan/planning-view.js'
import type { AppendAll, AppendRequest } from '../../src/writing/plan/write-request.js'
import { encodeEvent } from '../helpers/events.js'
import { snapshotOf } from '../helpers/planning.js'

const bob: Actor = {
  principal: { login: 'bob', groups: [], by: 'password' },
  address: '127.0.0.1',
  requestId: 'one'
}

const OWN = ['$audit', '$users', '$user-ann', '$tokens', '$consumers']
const STREAMS = ['a', 'b', 'c', '$$a', '$settings', ...OWN]

function emptyView(): PlanningView {
  return new PlanningView(snapshotOf(STREAMS), 1e12)
}

function request(events: AppendAll['events'], more: Partial<AppendAll> = {}): AppendAll {
  return { kind: 'append', events, conditions: [], ...more }
}

function accept(plan: AppendResult | DaybookError): void {
  if (plan instanceof DaybookError) throw plan
  if (plan.refused !== undefined) throw plan.refused.error
}

const settings = (acl: object) => encodeEvent('$settings', { type: '$settings', data: { $userStreamAcl: acl } })
const rules = (stream: string, $acl: object) => encodeEvent(`$$${stream}`, { type: '$metadata', data: { $acl } })

t.test('rights removed earlier in the same commit are missing for appends of every kind and for deletes', async (t) => {
  const admins = { $w: '$admins', $d: '$admins' }
  for (const [what, before] of [
    ['settings', settings(admins)],
    ['rules', rules('a', admins)]
  ] as const) {
    const events = [encodeEvent('a')]
    const late: AppendRequest[] = [
      { kind: 'append', events, conditions: [], by: bob },
      { kind: 'append-by-place', stream: 'a', expected: 'any', events, by: bob },
      { kind: 'append-each', events, by: bob }
    ]
    for (const append of late) {
      accept(planAppend(append, emptyView()))
      const view = emptyView()
      accept(planAppend(request([before]), view))
      const { length } = view.planned
      const plan = planAppend(append, view)
      const refusal = plan instanceof DaybookError ? plan : plan.refused?.error
      t.match(refusal, { code: 'not-permitted' }, `${what}: ${append.kind}`)
      const gone = planDelete({ kind: 'delete', stream: 'a', expected: 'any', permanent: false, by: bob }, view)
      t.match(gone, { code: 'not-permitted' }, `${what}: delete`)
      t.equal(view.planned.length, length, 'no event is planned')
    }
  }
})

t.test('a right granted earlier in the same commit counts', async (t) => {
  const view = emptyView()
  accept(planAppend(request([settings({ $w: '$admins' })]), view))
  t.match(planAppend(request([encodeEvent('a')], { by: bob }), view), { code: 'not-permitted' })
  accept(planAppend(request([rules('a', { $w: 'bob' })]), view))
  accept(planAppend(request([encodeEvent('a')], { by: bob }), view))
  t.match(planAppend(request([encodeEvent('b')], { by: bob }), view), { code: 'not-permitted' })
})

t.test('events that the caller may not read match no condition, even within the same commit', async (t) => {
  const view = emptyView()
  const events = [rules('a', { $r: '$admins' }), encodeEvent('a', { type: 'X' }), encodeEvent('b', { type: 'Y' })]
  accept(planAppend(request(events), view))
  const unless = (type: string, seenBy: Principal | undefined) => {
    const match = { items: [{ types: [type], tags: [] }], after: -1, index: 0, seenBy }
    return planAppend(request([encodeEvent('c')], { by: bob, matches: [match] }), view)
  }
  t.match(unless('X', undefined), { code: 'events-match' }, 'the event matches for a caller who may read everything')
  accept(unless('X', bob.principal))
  t.match(unless('Y', bob.principal), { code: 'events-match' })
})

t.test('only the server itself may append to or delete its own streams', async (t) => {
  const admin: Actor = { ...bob, principal: { ...bob.principal, login: 'admin', groups: ['$admins'] } }
  for (const stream of OWN) {
    const view = emptyView()
    const events = [encodeEvent(stream)]
    for (const append of [request(events, { by: admin }), { kind: 'append-each', events, by: admin }] as const) {
      const plan = planAppend(append, view)
      t.match(
        plan instanceof DaybookError ? plan : plan.refused?.error,
        { code: 'not-permitted' },
        `${stream}: ${append.kind}`
      )
    }
    accept(planAppend(request([encodeEvent(stream)]), view))
    const gone = planDelete({ kind: 'delete', stream, expected: 'any', permanent: false, by: admin }, view)
    t.match(gone, { code: 'not-permitted' }, stream)
    t.match(
      planDelete({ kind: 'delete', stream, expected: 'any', permanent: true }, view),
      { code: 'bad-stream-name' },
      'never permanently'
    )
  }
})
