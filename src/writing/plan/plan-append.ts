/**
 * Plans an append: a pure function of the store's state and the request. The same requests in the same order must give
 * the same log in any process, so nothing here reads a clock, generates a random id or touches a disk.
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
import { conditionsFailed, SearchOutdated, streamDeleted } from './refusals.js'
import type { AppendAll, AppendByPlace, AppendEach, AppendRequest } from './write-request.js'

export interface AppendResult {
  readonly events: readonly PlacedEvent[]
  /** True when nothing was written, because all events were in the log already. */
  readonly replayed: boolean
  /** The last event number of each stream of the append, after the append. */
  readonly heads: ReadonlyMap<string, number>
  /** For `append-each` only: the first refused event. This event and those after it were not written. */
  readonly refused?: { readonly index: number; readonly error: DaybookError } | undefined
}

/**
 * Decides one append against the view and, when it is accepted, adds its events to the view. Conditions on events are
 * checked only against the events planned before; use `planDecision` to include search results from the log.
 * @returns the answer to give after the commit has succeeded, or the refusal; a refusal leaves the view unchanged
 */
export function planAppend(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  if (request.kind === 'append') {
    if (request.matches !== undefined) return runToEnd(planDecision(request, view, NONE))
    return findAnswer(request, view) ?? conclude(request, NONE, view)
  }
  return request.kind === 'append-each' ? planEach(request, view) : planByPlace(request, view)
}

/**
 * As planAppend, for an append with conditions on events. Yields when other work should have a turn of the event loop.
 * @param inLog the search result for each of the request's `matches`
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
    if (match === LOOK_AGAIN) return new SearchOutdated()
    if (match !== undefined) matched.push({ condition, match })
  }
  return conclude(request, matched, view)
}

/** Runs a generator to its end, ignoring its yields, and returns its result. */
export function runToEnd<T>(steps: Generator<void, T>): T {
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

/**
 * Returns the refusal or replay that is decided before the conditions are checked; undefined: the conditions decide.
 */
function findAnswer({ events, conditions, by, keyed }: AppendAll, view: PlanningView) {
  const refusal =
    findRefusal(events, conditions, by, view) ?? findFault(events, false, view) ?? findTombstone(events, view)
  return refusal ?? findReplay(events, keyed, view)
}

/**
 * Checks the conditions on streams; adds the events to the view unless a condition failed.
 * @param matched the conditions on events that failed
 */
function conclude(
  { events, conditions, by }: AppendAll,
  matched: readonly MatchedCondition[],
  view: PlanningView
): AppendResult | DaybookError {
  const failed = conditions.filter(({ stream, expected }) => !holds(expected, view.head(stream), view.state(stream)))
  if (failed.length > 0 || matched.length > 0) return conditionsFailed(failed, matched, view)
  return { events: placeAll(events, by, view), replayed: false, heads: headsOf(events, view) }
}

/** The caller needs the right to write each stream, and to read each stream that a condition names (reference 14.3). */
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

/** Refuses events for a stream that has a tombstone, and for its metastream. */
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
 * Adds the events to the view and revives soft-deleted streams (reference 6.2). An event or new metadata revives a
 * stream. The events that the delete hid must stay hidden, so the metadata is written again, truncated before the first
 * new event.
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
    if (metadata.deleted && view.head(stream) < first) continue // the new metadata deletes it again
    const record = metadataRecord(stream, withTruncateBefore(document, first))
    view.place({ stream: metastreamOf(stream), id: undefined, type: METADATA_TYPE, record })
  }
  if (before !== undefined) auditChanges(by as Actor, before, view)
  if (isAudited(by)) for (const event of events) if (isTombstone(event)) auditTombstone(by, event.stream, view)
  return placed
}

/** An append of imported events may contain tombstones; each is audited as a permanent delete is. */
function auditTombstone(by: Actor, stream: string, view: PlanningView): void {
  view.place(auditEvent('StreamDeleted', by, { stream, permanent: true }))
}

/** Answers an append whose ids are all in the log as the first time, even if its conditions would fail now. */
function findReplay(
  events: readonly NewEvent[],
  keyed: AppendAll['keyed'],
  view: PlanningView
): AppendResult | DaybookError | undefined {
  if (events.every((event) => event.id === undefined)) return undefined
  const known = events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  if (known.every((one) => one === undefined)) return undefined
  const reused = events.findIndex((event, i) => known[i] !== undefined && !isSameEvent(known[i], event.record))
  const keyHasMoreEvents = keyed !== undefined && view.known(keyed.stream, keyed.nextId) !== undefined
  const unknown = known.indexOf(undefined)
  if (keyed !== undefined && (reused >= 0 || unknown >= 0 || keyHasMoreEvents)) {
    return new DaybookError(
      'idempotency-key-reused',
      'This Idempotency-Key was used on this stream with other events. Use a new key for each append.',
      { written: false, retry: false }
    )
  }
  if (reused >= 0) {
    const event = events[reused] as NewEvent & { id: Buffer }
    return new DaybookError(
      'event-id-reused',
      `Event ${known[reused]?.number} of stream "${event.stream}" has the same id ${idText(event.id)}, ` +
        'but other content. Use a new id for each event.',
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
      `Some of these events are in the log already, but event ${unknown} of the request is new. Nothing was written.`,
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
 * Plans an append by EventStoreDB's rules for retries. Only ids are compared. With a numbered expected version the
 * events must have the numbers that the append would have given them. EventStoreDB remembers only recent ids, and may
 * write an older id again; Daybook knows all ids and never does.
 */
function planByPlace(request: AppendByPlace, view: PlanningView): AppendResult | DaybookError {
  const { stream, expected, events, by } = request
  const conditions = [{ stream, expected }]
  const refusal =
    findRefusal(events, conditions, by, view) ?? findFault(events, true, view) ?? findTombstone(events, view)
  if (refusal !== undefined) return refusal
  const wrongVersion = () => conditionsFailed(conditions, [], view)
  const head = view.head(stream)
  const state = view.state(stream)
  if (expected === 'stream_exists') {
    if (state.metadata.deleted) return streamDeleted(stream)
    if (head === -1 && state.version === -1) return wrongVersion()
  }
  const known = events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  const all = known.every((one) => one !== undefined)
  if (all && isReplay(expected, known as KnownEvent[], head)) return replayOf(events, known as KnownEvent[], view)
  if (expected === 'any' || expected === 'stream_exists') {
    if (known.some((one) => one !== undefined)) return wrongVersion()
  } else if (!holds(expected, head, state)) return wrongVersion()
  return { events: placeAll(events, by, view), replayed: false, heads: headsOf(events, view) }
}

/** Returns true when an append whose ids are all known counts as a retry of the same append. */
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

/** Returns the last event number of each stream of the events. */
function headsOf(events: readonly NewEvent[], view: PlanningView): Map<string, number> {
  const heads = new Map<string, number>()
  for (const { stream } of events) if (!heads.has(stream)) heads.set(stream, view.head(stream))
  return heads
}
