/** Appends to one or several streams. A version conflict lists the events the caller missed (native contract §3). */
import type { FastifyRequest } from 'fastify'
import type { Principal } from '../../src/access/permissions.js'
import type { AccessRules } from '../../src/access/rules.js'
import { DaybookError, type ErrorCode, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Log } from '../../src/log/log.js'
import type { Reader } from '../../src/reading/reader.js'
import type { Source } from '../../src/reading/source.js'
import type { Sources } from '../../src/reading/sources.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { Clock } from '../../src/time/clock.js'
import type { Condition } from '../../src/writing/plan/expected-version.js'
import type { AppendResult } from '../../src/writing/plan/plan-append.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import type { Writer } from '../../src/writing/writer.js'
import { checkNamedLog, namedLog, readUpTo } from '../reading/named-log.js'
import type { EventPlaces } from '../wire/writing/stream-body.js'

/** The parts of the store that appends use. Read per request: the store may still be opening. */
export interface AppendParts {
  readonly writer: Writer
  readonly rules: AccessRules
  readonly log: Log
  readonly sources: Sources
  readonly reader: Reader
  readonly clock: Clock
}

export const NOT_WRITTEN = { written: false, retry: false }

/**
 * Checks expected numbers against the log that the request names: they are cursors, too.
 * @throws as checkNamedLog
 */
export async function checkExpected(
  parts: AppendParts,
  request: FastifyRequest,
  conditions: readonly Condition[]
): Promise<void> {
  if (namedLog(request) === undefined) return
  for (const { stream, expected } of conditions) {
    if (typeof expected !== 'number' || !(await mayKnowHead(parts, request.principal, stream))) continue
    const source = await parts.sources.toFollow({ stream })
    await checkNamedLog(parts, request, source, readUpTo(expected), { stream, ...NOT_WRITTEN })
  }
}

/** Whether the caller may know the head of a stream. Otherwise the append is refused later, when it is planned. */
async function mayKnowHead({ rules }: AppendParts, principal: Principal, stream: string): Promise<boolean> {
  return (await rules.may(principal, 'read', stream)) || (await rules.may(principal, 'write', stream))
}

/**
 * Appends events. The error for a version conflict lists the missed events, so that the caller can decide again without
 * another read.
 * @param placeOf returns the place of an event in the body
 * @param gone aborted when the client disconnects; see `Writer.append`
 */
export async function appendOrExplain(
  parts: AppendParts,
  append: AppendAll,
  placeOf: EventPlaces,
  gone?: AbortSignal
): Promise<AppendResult> {
  try {
    checkIdsOnce(append.events)
    return await parts.writer.append(append, gone)
  } catch (error) {
    if (!isDaybookError(error)) throw error
    if (error.code !== 'wrong-expected-version') throw placed(error, placeOf)
    const { stream, expected } = error.details as { stream: string; expected: unknown }
    const { by } = append
    // A caller who may only append must not learn what others appended.
    if (by !== undefined && !(await parts.rules.may(by.principal, 'read', stream))) throw error
    const from = typeof expected === 'number' ? expected + 1 : 0
    throw new DaybookError(error.code, error.message, { ...error.details, ...(await missed(parts, stream, from)) })
  }
}

/** Adds the place of the refused event in the body to an error. */
function placed(error: DaybookError, placeOf: EventPlaces): DaybookError {
  const { index } = error.details
  if (typeof index !== 'number') return error
  const { pointer, ...place } = placeOf(index)
  const member = MEMBERS[error.code] ?? ''
  const where = { ...place, ...(pointer !== undefined && { pointer: pointer + member }) }
  return new DaybookError(error.code, error.message, { ...error.details, ...where }, error)
}

/** The member of an event that an error of the writer refers to. Other faults are found when the body is parsed. */
const MEMBERS: Readonly<Partial<Record<ErrorCode, string>>> = {
  'bad-event-id': '/id',
  'event-id-reused': '/id',
  'invalid-event': '/data'
}

async function missed(parts: AppendParts, stream: string, from: number): Promise<Record<string, unknown>> {
  const source = await sourceIfAny(parts, stream)
  if (source === undefined || from > source.head) return { missed: [] }
  const events = []
  for (
    let number = Math.max(from, source.first);
    number <= Math.min(source.head, from + limits.missed_events_max - 1);
    number++
  ) {
    const record = await parts.reader.event(source, number)
    events.push({ number, type: record.type, id: record.idText })
  }
  return { missed: events, links: { missed: `/streams/${encodeURIComponent(stream)}?from=${from}` } }
}

async function sourceIfAny(parts: AppendParts, stream: string): Promise<Source | undefined> {
  try {
    return await parts.sources.of(stream)
  } catch {
    return undefined
  }
}

/** Refuses a batch with two events of the same id and stream. @throws `bad-event-id` */
function checkIdsOnce(events: readonly NewEvent[]): void {
  if (events.length < 2) return
  const seen = new Set<string>()
  for (const [index, { stream, id }] of events.entries()) {
    if (id === undefined) continue
    const key = id.toString('latin1') + stream
    if (seen.has(key))
      throw new DaybookError('bad-event-id', `The id of event ${index} occurs twice in this batch.`, { index })
    seen.add(key)
  }
}
