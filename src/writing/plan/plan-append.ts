/**
 * Planning an append: a pure function of what the store holds and what is asked. The same requests in the same order
 * give the same log anywhere, so nothing here reads a clock, makes a random id or touches a disk.
 */

import { auditEvent, isAudited } from '../../access/audit.js'
import { type Actor, isOwn, type Principal, refusedAccess, SETTINGS } from '../../access/permissions.js'
import { DaybookError } from '../../errors.js'
import { idText, recordKind } from '../../log/format.js'
import { METADATA_TYPE, metadataRecord, TOMBSTONE_TYPE, withTruncateBefore } from '../../streams/metadata.js'
import { isMetastream, metastreamOf, originalOf } from '../../streams/names.js'
import type { NewEvent } from '../../streams/new-event.js'
import { LOOK_AGAIN, type Match, type MatchCondition } from '../event-search.js'
import { findFault } from './event-faults.js'
import { type Condition, type ExpectedVersion, holds } from './expected-version.js'
import type { KnownEvent, PlacedEvent, PlanningView } from './planning-view.js'
import { conditionsFailed, LookedTooEarly, streamDeleted } from './refusals.js'

export interface AppendRequest {
  readonly events: readonly NewEvent[]
  readonly conditions: readonly Condition[]
  /** Events that must not be in the log. */
  readonly matches?: readonly MatchCondition[] | undefined
  /**
   * `batch`: all or nothing. `each`: every event is an append of its own, in order, up to the first that is refused
   * (a streamed write, which may be sent again from its beginning). `eventstore`: all or nothing, to one stream, by
   * the version check and idempotency of EventStoreDB (reference 5.4).
   */
  readonly mode: 'batch' | 'each' | 'eventstore'
  /** Whose rights it needs; undefined: the store itself writes. */
  readonly by?: Actor | undefined
  /** For whom the store itself writes: nothing is written when it is their turn and they are not signed in any more. */
  readonly askedBy?: Principal | undefined
  /** The ids were made from an Idempotency-Key; this is the id an event after the last one would have. */
  readonly keyed?: { readonly stream: string; readonly nextId: Buffer } | undefined
}

export interface AppendResult {
  readonly events: readonly PlacedEvent[]
  /** True when nothing was written: all events were there already. */
  readonly replayed: boolean
  /** The last number of each stream concerned, after this append. */
  readonly heads: ReadonlyMap<string, number>
  /** In mode `each`: the first event that was refused. Nothing from it on was written. */
  readonly refused?: { readonly index: number; readonly error: DaybookError } | undefined
}

/**
 * Decides one append against the view and, when it is accepted, places its events in it.
 * @returns what to answer once the commit has succeeded, or the refusal; then the view is unchanged
 */
export function planAppend(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  if (request.mode === 'each') return planEach(request, view)
  return request.mode === 'eventstore' ? planByPlace(request, view) : planBatch(request, view)
}

function planBatch(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  const gone = findRefusal(request, view) ?? findFault(request.events, false, view) ?? findTombstone(request, view)
  if (gone !== undefined) return gone
  const replay = findReplay(request, view)
  if (replay !== undefined) return replay
  const failed = request.conditions.filter(
    ({ stream, expected }) => !holds(expected, view.head(stream), view.state(stream))
  )
  const matched: { condition: MatchCondition; match: Match }[] = []
  for (const condition of request.matches ?? []) {
    const match = view.match(condition)
    if (match === LOOK_AGAIN) return new LookedTooEarly()
    if (match !== undefined) matched.push({ condition, match })
  }
  if (failed.length > 0 || matched.length > 0) return conditionsFailed(failed, matched, view)
  return { events: placeAll(request, view), replayed: false, heads: headsOf(request, view) }
}

/** Whoever appends may write each of the streams, and read those that conditions speak of (reference 14.3). */
function findRefusal({ events, conditions, by }: AppendRequest, view: PlanningView): DaybookError | undefined {
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
function findTombstone({ events }: AppendRequest, view: PlanningView): DaybookError | undefined {
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
function placeAll({ events, by }: Pick<AppendRequest, 'events' | 'by'>, view: PlanningView): PlacedEvent[] {
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

/** What the audit tells of a stream when it changes, as text. */
interface Audited {
  readonly rule: string
  /** Of what the server keeps of itself: what hides some of it. */
  readonly retention: string | undefined
}

/** What these events may change of it, by the stream that they are appended to; most change nothing. */
function auditedOf(events: readonly NewEvent[], view: PlanningView): Map<string, Audited> | undefined {
  let audited: Map<string, Audited> | undefined
  for (const { stream } of events) {
    if (!isMetastream(stream) && stream !== SETTINGS) continue
    audited ??= new Map()
    audited.set(stream, { rule: ruleText(stream, view), retention: retentionText(stream, view) })
  }
  return audited
}

function ruleText(stream: string, view: PlanningView): string {
  // Whatever is written to the settings, or may hide some of them, is a change of them.
  return isOfSettings(stream)
    ? String(view.head(stream))
    : JSON.stringify(view.state(originalOf(stream)).metadata.acl ?? {})
}

function retentionText(stream: string, view: PlanningView): string | undefined {
  if (isOfSettings(stream) || !isOwn(originalOf(stream))) return undefined
  const { maxCount: $maxCount, maxAge, truncateBefore: $tb } = view.state(originalOf(stream)).metadata
  return JSON.stringify({ $maxCount, $maxAge: maxAge && maxAge / 1000, $tb })
}

function isOfSettings(stream: string): boolean {
  return stream === SETTINGS || stream === metastreamOf(SETTINGS)
}

/** A changed rule, or what hides some of the server's own events, stands in the same batch as who changed it. */
function auditChanges(by: Actor, before: ReadonlyMap<string, Audited>, view: PlanningView): void {
  for (const [stream, { rule, retention }] of before) {
    if (ruleText(stream, view) !== rule) {
      const what = isOfSettings(stream)
        ? { stream, number: view.head(stream) }
        : { stream: originalOf(stream), acl: view.state(originalOf(stream)).metadata.acl ?? {} }
      view.place(auditEvent('AccessRuleChanged', by, what))
    }
    const now = retentionText(stream, view)
    if (now === retention) continue
    const what = { stream: originalOf(stream), retention: JSON.parse(now ?? '{}') as object }
    view.place(auditEvent('RetentionChanged', by, what))
  }
}

/** An import may end streams for ever, as a delete does. */
function auditEnd(by: Actor, stream: string, view: PlanningView): void {
  view.place(auditEvent('StreamDeleted', by, { stream, permanent: true }))
}

/** An append of ids that are all there is answered as it was the first time, whatever its conditions say now. */
function findReplay(request: AppendRequest, view: PlanningView): AppendResult | DaybookError | undefined {
  if (request.events.every((event) => event.id === undefined)) return undefined
  const known = request.events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  const keyed = request.keyed
  if (known.every((one) => one === undefined)) return undefined
  const reused = request.events.findIndex((event, i) => known[i] !== undefined && !known[i].sameContent(event.record))
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
    const event = request.events[reused] as NewEvent & { id: Buffer }
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
  return replayOf(request, known as KnownEvent[], view)
}

function replayOf(request: AppendRequest, known: readonly KnownEvent[], view: PlanningView): AppendResult {
  const events = request.events.map((event, i) => ({ event, ...place(known[i] as KnownEvent), replayed: true }))
  return { events, replayed: true, heads: headsOf(request, view) }
}

/**
 * EventStoreDB's rules: only ids are compared, and with a numbered version they must stand where the append would have
 * put them. Where its cache of recent ids would write an id again, ours knows all of them and does not.
 */
function planByPlace(request: AppendRequest, view: PlanningView): AppendResult | DaybookError {
  const gone = findRefusal(request, view) ?? findFault(request.events, true, view) ?? findTombstone(request, view)
  if (gone !== undefined) return gone
  const { stream, expected } = request.conditions[0] as Condition
  const wrong = () => conditionsFailed([{ stream, expected }], [], view)
  const head = view.head(stream)
  const state = view.state(stream)
  if (expected === 'stream_exists') {
    if (state.metadata.deleted) return streamDeleted(stream)
    if (head === -1 && state.version === -1) return wrong()
  }
  const known = request.events.map((event) => (event.id ? view.known(event.stream, event.id) : undefined))
  const all = known.every((one) => one !== undefined)
  if (all && isReplay(expected, known as KnownEvent[], head)) return replayOf(request, known as KnownEvent[], view)
  if (expected === 'any' || expected === 'stream_exists') {
    if (known.some((one) => one !== undefined)) return wrong()
  } else if (!holds(expected, head, state)) return wrong()
  return { events: placeAll(request, view), replayed: false, heads: headsOf(request, view) }
}

/** True when ids that are all there are taken for the same append, sent again. */
function isReplay(expected: ExpectedVersion, known: readonly KnownEvent[], head: number): boolean {
  if (expected === 'any' || expected === 'stream_exists') return true
  const version = expected === 'no_stream' ? -1 : expected
  return version === head || known.every(({ number }, i) => number === version + 1 + i)
}

function planEach(request: AppendRequest, view: PlanningView): AppendResult {
  const events: PlacedEvent[] = []
  let refused: AppendResult['refused']
  for (const [index, event] of request.events.entries()) {
    const one = { ...request, events: [event] }
    const known = event.id ? view.known(event.stream, event.id) : undefined
    const error = findRefusal(one, view) ?? findFault(one.events, false, view) ?? refusalOfOne(one, known, view)
    if (error !== undefined) {
      refused = { index, error }
      break
    }
    if (known === undefined) events.push(...placeAll(one, view))
    else events.push({ event, ...place(known), replayed: true })
  }
  const replayed = events.length > 0 && events.every((event) => event.replayed)
  return { events, replayed, heads: headsOf(request, view), refused }
}

function refusalOfOne(one: AppendRequest, known: KnownEvent | undefined, view: PlanningView): DaybookError | undefined {
  if (known === undefined) return findTombstone(one, view)
  const [event] = one.events as [NewEvent]
  return known.sameContent(event.record) ? undefined : (findReplay(one, view) as DaybookError)
}

function place({ number, position, created }: KnownEvent): { number: number; position: number; created: number } {
  return { number, position, created }
}

function headsOf(request: AppendRequest, view: PlanningView): Map<string, number> {
  const heads = new Map<string, number>()
  for (const { stream } of request.events) if (!heads.has(stream)) heads.set(stream, view.head(stream))
  return heads
}
