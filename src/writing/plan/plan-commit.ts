/**
 * Plans a commit: decides which requests are accepted, and gives their events numbers and positions. A pure function of
 * the snapshot, the requests and the instant: equal inputs give an equal log in any process. Nothing in this folder
 * reads a clock, generates a random id, touches a disk or keeps state between calls.
 */
import { signInRefusal } from '../../access/sign-in-validity.js'
import type { DaybookError } from '../../errors.js'
import { WorkCounter } from '../../work-counter.js'
import type { CommitSnapshot } from './commit-snapshot.js'
import { type AppendResult, planAppend, planDecision, runToEnd } from './plan-append.js'
import { type DeleteResult, planDelete } from './plan-delete.js'
import { type PlacedEvent, PlanningView } from './planning-view.js'
import { type AppendAll, principalOfRequest, type WriteRequest } from './write-request.js'

/** The answer to a request after the commit has succeeded, or its refusal. */
export type PlannedAnswer = AppendResult | DeleteResult | DaybookError

export interface CommitPlan {
  /** All events to write, in order; empty when no request is accepted. */
  readonly planned: readonly PlacedEvent[]
  /** `created` of these events, in milliseconds. */
  readonly created: number
  /** One answer for each request, in the order of the requests. */
  readonly answers: readonly PlannedAnswer[]
}

/**
 * Plans requests in order. Each sees the state that the requests before it leave.
 * @param instant the clock's time, in milliseconds
 * @throws when a plan needs something that the snapshot does not contain
 */
export function planCommit(snapshot: CommitSnapshot, requests: readonly WriteRequest[], instant: number): CommitPlan {
  return runToEnd(planInSteps(snapshot, requests, instant))
}

/**
 * As planCommit, but yields when other work should have a turn of the event loop. The yields do not affect the plan.
 */
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

/**
 * Plans a request without yielding. Returns undefined for an append with conditions on events, which is not planned
 * yet.
 */
function planAtOnce(request: WriteRequest, view: PlanningView, instant: number): PlannedAnswer | undefined {
  // The account or token may have been revoked while the request was queued.
  const principal = principalOfRequest(request)
  const signInFault = principal && signInRefusal(principal, view, instant)
  if (signInFault !== undefined) return signInFault
  if (request.kind === 'delete') return planDelete(request, view)
  return request.kind === 'append' && request.matches !== undefined ? undefined : planAppend(request, view)
}
