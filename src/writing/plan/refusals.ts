/** How plans refuse: the coded errors that an append and a delete share. */
import { DaybookError } from '../../errors.js'
import type { EventCondition, Match } from './event-condition.js'
import type { Condition, ExpectedVersion } from './expected-version.js'
import type { PlanningView } from './planning-view.js'

/** The stream has a tombstone. */
export function streamDeleted(stream: string): DaybookError {
  return new DaybookError('stream-deleted', `"${stream}" was deleted for ever.`, {
    stream,
    permanent: true,
    written: false,
    retry: false
  })
}

/** @param failed at least one, of streams or of what the log holds */
export function conditionsFailed(
  failed: readonly Condition[],
  matched: readonly { condition: EventCondition; match: Match }[],
  view: PlanningView
): DaybookError {
  const streams = failed.map(({ stream, expected }) => ({ stream, expected, head: headOrNull(view.head(stream)) }))
  const matches = matched.map(({ condition, match }) => ({
    condition: condition.index,
    failIfEventsMatch: { items: condition.items },
    ...cursorOf(condition),
    position: match.position,
    type: match.type
  }))
  const says = [
    ...failed.map((one) => `"${one.stream}" ${describeExpected(one.expected)}, but ${describeHead(one, view)}`),
    ...matches.map(({ position, type }) => `no such event is in the log, but ${type} is at ${position}`)
  ]
  const all = [...streams, ...matches]
  return new DaybookError(
    failed.length > 0 ? 'wrong-expected-version' : 'events-match',
    `Expected that ${says.join('; and that ')}. Nothing was written.`,
    {
      ...(streams[0] ?? {}),
      ...(all.length > 1 || streams.length === 0 ? { failed: all } : {}),
      written: false,
      retry: false
    }
  )
}

function cursorOf({ after }: EventCondition): { after?: number } {
  return after === -1 ? {} : { after }
}

function headOrNull(head: number): number | null {
  return head === -1 ? null : head
}

function describeExpected(expected: ExpectedVersion): string {
  if (expected === 'no_stream') return 'does not exist'
  if (expected === 'stream_exists') return 'exists'
  return `ends with event ${expected}`
}

function describeHead({ stream }: Condition, view: PlanningView): string {
  const head = view.head(stream)
  if (head === -1) return 'it was never written'
  return view.state(stream).metadata.deleted ? `it was deleted after event ${head}` : `its last event is ${head}`
}

/** The log was searched too early for an append's conditions. The writer searches again; a client gets this when that does not end. */
export class LookedTooEarly extends DaybookError {
  constructor() {
    const why =
      'Metadata and rights change faster than the log can be searched for the events that the conditions name.'
    super('overloaded', why, { written: false, retry: true })
  }
}
