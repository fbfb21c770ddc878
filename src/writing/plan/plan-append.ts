/**
 * Planning an append: a pure function of what the store holds and what is asked. The same requests in the same order
 * give the same log anywhere, so nothing here reads a clock, makes a random id or touches a disk.
 */

import { auditEvent, isAudited } from '../../access/audit.js'
import { type Actor, refusedAccess } from '../../access/permissions.js'
import { DaybookError } from '../../errors.js'
import { idText, recordKind } from '../../log/format.js'
import { METADATA_TYPE, metadataRecord, TOMBSTONE_TYPE, withTruncateBefore } from '../../streams/metadata.js'
import { isMetastream, metastreamOf, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import { auditChanges, auditedOf } from './append-audit.js'
import { type EventCondition, LOOK_AGAIN, type LookAgain, type Match } from './event-condition.js'
import { findFault } from './event-faults.js'
import { type Condition, type ExpectedVersion, holds } from './expected-version.js'
import { isSameEvent, type KnownEvent, type PlacedEvent, type PlanningView } from './planning-view.js'
import { conditionsFailed, LookedTooEarly, streamDeleted } from './refusals.js'
import type { AppendAll, AppendByPlace, AppendEach, AppendRequest } from './write-request.js'

export interface AppendResult {
  readonly events: readonly PlacedEvent[]
  /** True when nothing was written: all events were there already. */
  readonly replayed: boolean
  /** The last number of each stream concerned, after this append. */
  readonly heads: ReadonlyMap<string, number>
  /** Of `append-each`: the first event that was refused. Nothing from it on was written. */
  readonly refused?: { readonly index: number; readonly error: DaybookError } | undefined
}

/**
 * Decides one append against the view and, when it is accepted, places its events in it. The log is taken to hold nothing
 * that its conditions on events forbid.
 * @returns what to answer once the commit has succeeded, or the refusal; then the view is unchanged
 */
export function planAppend(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  if (request.kind === 'append') {
    if (request.matches !== undefined) return inOneTurn(planDecision(request, view, NONE))
    return findAnswer(request, view) ?? conclude(request, NONE, view)
  }
  return request.kind === 'append-each' ? planEach(request, view) : planByPlace(request, view)
}

/**
 * As planAppend, for an append with conditions on events. Yields when others should have a turn.
 * @param inLog what a search of the log found for each of the request's `matches`
 */
export function* planDecision(
  request: AppendAll,
  view: PlanningView,
  inLog: readonly (Match | LookAgain | undefined)[]
): Generator<void, AppendResult | DaybookError> {
  const answer = findAnswer(request, view)
  if (answer !== undefined) return answer
  const matched: MatchedCondition[] = []
  for (const [i, condition] of (request.matches ?? NONE).entries()) {
    const match = yield* view.match(condition, inLog[i])
    if (match === LOOK_AGAIN) return new LookedTooEarly()
    if (match !== undefined) matched.push({ condition, match })
  }
  return conclude(request, matched, view)
}

/** What steps come to, without a turn for others. */
export function inOneTurn<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

interface MatchedCondition {
  readonly condition: EventCondition
  readonly match: Match
}

const NONE: readonly never[] = []

/** The refusal or the replay of an append that is decided before its conditions count; undefined: they decide. */
function findAnswer({ events, conditions, by, keyed }: AppendAll, view: PlanningView) {
  const refusal =
    findRefusal(events, conditions, by, view) ?? findFault(events, false, view) ?? findTombstone(events, view)
  return refusal ?? findReplay(events, keyed, view)
}

/** @param matched the conditions on events that failed */
function conclude(
  { events, conditions, by }: AppendAll,
  matched: readonly MatchedCondition[],
  view: PlanningView
): AppendResult | DaybookError {
  const failed = conditions.filter(({ stream, expected }) => !holds(expected, view.head(stream), view.state(stream)))
  if (failed.length > 0 || matched.length > 0) return conditionsFailed(failed, matched, view)
  return { events: placeAll(events, by, view), replayed: false, heads: headsOf(events, view) }
}

/** The caller must have the right to write each of the streams, and to read those that conditions name (reference 14.3). */
function findRefusal(
  events: readonly NewEvent[],
  conditions: readonly Condition[],
  by: Actor | undefined,
  view: PlanningView
): DaybookError | undefined {
  if (by === undefined) return undefined
  const { principal } = by
  const written = new Set<string>()
  let last: string | undefined
  for (const event of events) {
    const { stream } = event
    if (isTombstone(event) && !view.permits(principal, 'delete', stream)) {
      return refusedAccess(principal, 'delete', stream)
    }
    if (stream === last || written.has(stream)) continue
    last = stream
    if (!view.permits(principal, 'write', stream)) return refusedAccess(principal, 'write', stream)
    written.add(stream)
  }
  for (const { stream } of conditions) {
    if (written.has(stream) || view.permits(principal, 'read', stream)) continue
    return refusedAccess(principal, 'read', stream)
  }
  return undefined
}

function isTombstone({ type, record }: NewEvent): boolean {
  return type === TOMBSTONE_TYPE && record.bytes[1] === recordKind.tombstone
}

/** Nothing follows a tombstone, neither in the stream nor in its metadata. */
function findTombstone(events: readonly NewEvent[], view: PlanningView): DaybookError | undefined {
  let last: string | undefined
  for (const { stream } of events) {
    if (stream === last) continue
    last = stream
    if (view.state(stream).tombstone) return streamDeleted(stream)
    if (isMetastream(stream) && view.state(originalOf(stream)).tombstone) return streamDeleted(originalOf(stream))
  }
  return undefined
}

/**
 * Places events and brings soft-deleted streams back (reference 6.2): by an event, or by other metadata. What was hidden
 * stays hidden, so the metadata is written once more, with the truncation at the first new event.
 */
function placeAll(events: readonly NewEvent[], by: Actor | undefined, view: PlanningView): PlacedEvent[] {
  const revived = new Map<string, number>()
  for (const { stream } of events) {
    const original = isMetastream(stream) ? originalOf(stream) : stream
    if (view.state(original).metadata.deleted) revived.set(original, view.head(original) + 1)
  }
  const before = isAudited(by) ? auditedOf(events, view) : undefined
  const placed = events.map((event) => view.place(event))
  for (const [stream, first] of revived) {
    const { document, metadata } = view.state(stream)
    if (metadata.deleted && view.head(stream) < first) continue // it was only deleted again
    const record = metadataRecord(stream, withTruncateBefore(document, first))
    view.place({ stream: metastreamOf(stream), id: undefined, type: METADATA_TYPE, record })
  }
  if (before !== undefined) auditChanges(by as Actor, before, view)
  if (isAudited(by)) for (const event of events) if (isTombstone(event)) auditEnd(by, event.stream, view)
  return placed
}

/** An import may end streams for ever, as a delete does. */
function auditEnd(by: Actor, stream: string, view: PlanningView): void {
  view.place(auditEvent('StreamDeleted', by, { stream, permanent: true }))
}

/** An append of ids that are all there is answered as it was the first time, whatever its conditions say now. */
function findReplay(
  events: readonly NewEvent[],
  keyed: AppendAll['keyed'],
  view: PlanningView
): AppendResult | DaybookError | undefined {
  if (events.every((event) => event.id === undefined)) return undefined
  const known = events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  if (known.every((one) => one === undefined)) return undefined
  const reused = events.findIndex((event, i) => known[i] !== undefined && !isSameEvent(known[i], event.record))
  const keyedMore = keyed !== undefined && view.known(keyed.stream, keyed.nextId) !== undefined
  const unknown = known.indexOf(undefined)
  if (keyed !== undefined && (reused >= 0 || unknown >= 0 || keyedMore)) {
    return new DaybookError(
      'idempotency-key-reused',
      'This Idempotency-Key was used on this stream with other events. A key stands for one append; use a new one.',
      { written: false, retry: false }
    )
  }
  if (reused >= 0) {
    const event = events[reused] as NewEvent & { id: Buffer }
    return new DaybookError(
      'event-id-reused',
      `Stream "${event.stream}" holds an event with id ${idText(event.id)} and other content (number ${known[reused]?.number}).`,
      {
        stream: event.stream,
        id: idText(event.id),
        number: known[reused]?.number,
        index: reused,
        written: false,
        retry: false
      }
    )
  }
  if (unknown >= 0) {
    return new DaybookError(
      'partial-replay',
      `Some of these events are in the log already and some are not: event ${unknown} is new. Nothing was written.`,
      { index: unknown, written: false, retry: false }
    )
  }
  return replayOf(events, known as KnownEvent[], view)
}

function replayOf(sent: readonly NewEvent[], known: readonly KnownEvent[], view: PlanningView): AppendResult {
  const events = sent.map((event, i) => ({ event, ...place(known[i] as KnownEvent), replayed: true }))
  return { events, replayed: true, heads: headsOf(sent, view) }
}

/**
 * EventStoreDB's rules: only ids are compared, and with a numbered version they must stand where the append would have
 * put them. Where its cache of recent ids would write an id again, ours knows all of them and does not.
 */
function planByPlace(request: AppendByPlace, view: PlanningView): AppendResult | DaybookError {
  const { stream, expected, events, by } = request
  const conditions = [{ stream, expected }]
  const refusal =
    findRefusal(events, conditions, by, view) ?? findFault(events, true, view) ?? findTombstone(events, view)
  if (refusal !== undefined) return refusal
  const wrong = () => conditionsFailed(conditions, [], view)
  const head = view.head(stream)
  const state = view.state(stream)
  if (expected === 'stream_exists') {
    if (state.metadata.deleted) return streamDeleted(stream)
    if (head === -1 && state.version === -1) return wrong()
  }
  const known = events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  const all = known.every((one) => one !== undefined)
  if (all && isReplay(expected, known as KnownEvent[], head)) return replayOf(events, known as KnownEvent[], view)
  if (expected === 'any' || expected === 'stream_exists') {
    if (known.some((one) => one !== undefined)) return wrong()
  } else if (!holds(expected, head, state)) return wrong()
  return { events: placeAll(events, by, view), replayed: false, heads: headsOf(events, view) }
}

/** True when ids that are all there are taken for the same append, sent again. */
function isReplay(expected: ExpectedVersion, known: readonly KnownEvent[], head: number): boolean {
  if (expected === 'any' || expected === 'stream_exists') return true
  const version = expected === 'no_stream' ? -1 : expected
  return version === head || known.every(({ number }, i) => number === version + 1 + i)
}

function planEach({ events, by }: AppendEach, view: PlanningView): AppendResult {
  const placed: PlacedEvent[] = []
  let refused: AppendResult['refused']
  for (const [index, event] of events.entries()) {
    const one = [event]
    const known = event.id ? view.known(event.stream, event.id) : undefined
    const error = findRefusal(one, NONE, by, view) ?? findFault(one, false, view) ?? refusalOfOne(event, known, view)
    if (error !== undefined) {
      refused = { index, error }
      break
    }
    if (known === undefined) placed.push(...placeAll(one, by, view))
    else placed.push({ event, ...place(known), replayed: true })
  }
  const replayed = placed.length > 0 && placed.every((event) => event.replayed)
  return { events: placed, replayed, heads: headsOf(events, view), refused }
}

function refusalOfOne(event: NewEvent, known: KnownEvent | undefined, view: PlanningView): DaybookError | undefined {
  if (known === undefined) return findTombstone([event], view)
  return isSameEvent(known, event.record) ? undefined : (findReplay([event], undefined, view) as DaybookError)
}

function place({ number, position, created }: KnownEvent): { number: number; position: number; created: number } {
  return { number, position, created }
}

/** The last number of each stream that is written to. */
function headsOf(events: readonly NewEvent[], view: PlanningView): Map<string, number> {
  const heads = new Map<string, number>()
  for (const { stream } of events) if (!heads.has(stream)) heads.set(stream, view.head(stream))
  return heads
}
