/**
 * Planning a commit: which requests are accepted, and where their events stand. A pure function of what the log holds,
 * what is asked and the instant: the same give the same log in any process. Nothing in this room reads a clock, makes a
 * random id, touches a disk or keeps anything between two calls.
 */
import { signInRefusal } from '../../access/sign-in-validity.js'
import type { DaybookError } from '../../errors.js'
import { WorkCounter } from '../../work-counter.js'
import type { CommitSnapshot } from './commit-snapshot.js'
import { type AppendResult, inOneTurn, planAppend, planDecision } from './plan-append.js'
import { type DeleteResult, planDelete } from './plan-delete.js'
import { type PlacedEvent, PlanningView } from './planning-view.js'
import { type AppendAll, principalOfRequest, type WriteRequest } from './write-request.js'

/** What a request is answered once the commit has succeeded, or why it is refused. */
export type PlannedAnswer = AppendResult | DeleteResult | DaybookError

export interface CommitPlan {
  /** All events to write, in order; none when nothing is accepted. */
  readonly planned: readonly PlacedEvent[]
  /** `created` of these events, milliseconds. */
  readonly created: number
  /** One for each request. */
  readonly answers: readonly PlannedAnswer[]
}

/**
 * Plans requests in their order; each sees what those before it leave.
 * @param instant what the clock says, milliseconds
 * @throws when a plan needs something that the snapshot does not hold
 */
export function planCommit(snapshot: CommitSnapshot, requests: readonly WriteRequest[], instant: number): CommitPlan {
  return inOneTurn(planInSteps(snapshot, requests, instant))
}

/** As planCommit, and yields when others should have a turn of the event loop. How often changes nothing of the plan. */
export function* planInSteps(
  snapshot: CommitSnapshot,
  requests: readonly WriteRequest[],
  instant: number
): Generator<void, CommitPlan> {
  const view = new PlanningView(snapshot, instant)
  const work = new WorkCounter()
  const answers: PlannedAnswer[] = []
  for (const [i, request] of requests.entries()) {
    const answer = planAtOnce(request, view, instant)
    answers.push(answer ?? (yield* planDecision(request as AppendAll, view, snapshot.matches.get(i) ?? [])))
    if (work.add(request.kind === 'delete' ? 1 : 2 * request.events.length)) yield
  }
  return { planned: view.planned, created: view.created, answers }
}

/** The plan of a request; undefined for one whose conditions on events decide. */
function planAtOnce(request: WriteRequest, view: PlanningView, instant: number): PlannedAnswer | undefined {
  // The account or token may have been revoked while the request was queued.
  const principal = principalOfRequest(request)
  const over = principal && signInRefusal(principal, view, instant)
  if (over !== undefined) return over
  if (request.kind === 'delete') return planDelete(request, view)
  return request.kind === 'append' && request.matches !== undefined ? undefined : planAppend(request, view)
}
