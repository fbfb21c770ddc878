/** Appends and deletes that are planned together: each is judged by the rights that those before it leave. */
import t from 'tap'
import { type Actor, readSettings } from '../../src/access/permissions.js'
import type { Viewer } from '../../src/access/viewer.js'
import { DaybookError } from '../../src/errors.js'
import { PLAIN_STATE } from '../../src/streams/stream-state.js'
import { type AppendRequest, type AppendResult, planAppend } from '../../src/writing/plan-append.js'
import { planDelete } from '../../src/writing/plan-delete.js'
import { PlanningView } from '../../src/writing/planning-view.js'
import { encodeEvent } from '../helpers/events.js'

const bob: Actor = {
  principal: { login: 'bob', groups: [], isValid: () => true, by: 'password' },
  address: '127.0.0.1',
  requestId: 'one'
}

function emptyView(): PlanningView {
  return new PlanningView(100, 1e12, {
    head: () => -1,
    state: () => PLAIN_STATE,
    settings: readSettings(undefined, false),
    match: () => undefined,
    placeOfId: () => undefined
  })
}

function request(events: AppendRequest['events'], more: Partial<AppendRequest> = {}): AppendRequest {
  return { events, conditions: [], mode: 'batch', ...more }
}

function accept(plan: AppendResult | DaybookError): void {
  if (plan instanceof DaybookError) throw plan
  if (plan.refused !== undefined) throw plan.refused.error
}

const settings = (acl: object) => encodeEvent('$settings', { type: '$settings', data: { $userStreamAcl: acl } })
const rules = (stream: string, $acl: object) => encodeEvent(`$$${stream}`, { type: '$metadata', data: { $acl } })

t.test('rights are as what stands before in the same commit leaves them, in every mode', async (t) => {
  const admins = { $w: '$admins', $d: '$admins' }
  for (const [what, before] of [
    ['settings', settings(admins)],
    ['rules', rules('a', admins)]
  ] as const) {
    for (const mode of ['batch', 'eventstore', 'each'] as const) {
      const conditions = mode === 'eventstore' ? [{ stream: 'a', expected: 'any' as const }] : []
      const late = () => request([encodeEvent('a')], { mode, conditions, by: bob })
      accept(planAppend(late(), emptyView()))
      const view = emptyView()
      accept(planAppend(request([before]), view))
      const { length } = view.planned
      const plan = planAppend(late(), view)
      const refusal = plan instanceof DaybookError ? plan : plan.refused?.error
      t.match(refusal, { code: 'not-permitted' }, `${what}: ${mode}`)
      const gone = planDelete({ stream: 'a', expected: 'any', permanent: false, by: bob }, view)
      t.match(gone, { code: 'not-permitted' }, `${what}: delete`)
      t.equal(view.planned.length, length, 'nothing of it is planned')
    }
  }
})

t.test('a right that is given in the same commit counts, too', async (t) => {
  const view = emptyView()
  accept(planAppend(request([settings({ $w: '$admins' })]), view))
  t.match(planAppend(request([encodeEvent('a')], { by: bob }), view), { code: 'not-permitted' })
  accept(planAppend(request([rules('a', { $w: 'bob' })]), view))
  accept(planAppend(request([encodeEvent('a')], { by: bob }), view))
  t.match(planAppend(request([encodeEvent('b')], { by: bob }), view), { code: 'not-permitted' })
})

t.test('what its author may not read is in nobody’s way, also when it was planned in the same commit', async (t) => {
  const view = emptyView()
  const events = [rules('a', { $r: '$admins' }), encodeEvent('a', { type: 'X' }), encodeEvent('b', { type: 'Y' })]
  accept(planAppend(request(events), view))
  const viewer = { principal: bob.principal } as Viewer
  const unless = (type: string, whose: Viewer | undefined) => {
    const match = { items: [{ types: [type], tags: [] }], after: -1, index: 0, viewer: whose }
    return planAppend(request([encodeEvent('c')], { by: bob, matches: [match] }), view)
  }
  t.match(unless('X', undefined), { code: 'events-match' }, 'it is in the way of who sees everything')
  accept(unless('X', viewer))
  t.match(unless('Y', viewer), { code: 'events-match' })
})

t.test('nobody’s append or delete touches what the server keeps of itself; the server’s own does', async (t) => {
  const admin: Actor = { ...bob, principal: { ...bob.principal, login: 'admin', groups: ['$admins'] } }
  for (const stream of ['$audit', '$users', '$user-ann', '$tokens', '$consumers']) {
    const view = emptyView()
    for (const mode of ['batch', 'each'] as const) {
      const plan = planAppend(request([encodeEvent(stream)], { mode, by: admin }), view)
      t.match(
        plan instanceof DaybookError ? plan : plan.refused?.error,
        { code: 'not-permitted' },
        `${stream}: ${mode}`
      )
    }
    accept(planAppend(request([encodeEvent(stream)]), view))
    const gone = planDelete({ stream, expected: 'any', permanent: false, by: admin }, view)
    t.match(gone, { code: 'not-permitted' }, stream)
    t.match(
      planDelete({ stream, expected: 'any', permanent: true }, view),
      { code: 'bad-stream-name' },
      'never for ever'
    )
  }
})
