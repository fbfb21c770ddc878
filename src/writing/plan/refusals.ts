/** The errors with which plans refuse appends and deletes. */
import { DaybookError } from '../../errors.js'
import type { EventCondition, Match } from './event-condition.js'
import type { Condition, ExpectedVersion } from './expected-version.js'
import type { PlanningView } from './planning-view.js'

/** Returns the refusal for a stream that has a tombstone. */
export function streamDeleted(stream: string): DaybookError {
  return new DaybookError('stream-deleted', `"${stream}" was deleted permanently.`, {
    stream,
    permanent: true,
    written: false,
    retry: false
  })
}

/**
 * Returns `wrong-expected-version`, or `events-match` when only conditions on events failed.
 * @param failed failed conditions on streams; this list and `matched` are not both empty
 */
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
  const reasons = [
    ...failed.map((one) => `"${one.stream}" ${describeExpected(one.expected)}, but ${describeHead(one, view)}`),
    ...matches.map(({ position, type }) => `no event matches, but ${type} at position ${position} does`)
  ]
  const all = [...streams, ...matches]
  return new DaybookError(
    failed.length > 0 ? 'wrong-expected-version' : 'events-match',
    `Expected that ${reasons.join('; and that ')}. Nothing was written.`,
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
  return `ends with event number ${expected}`
}

function describeHead({ stream }: Condition, view: PlanningView): string {
  const head = view.head(stream)
  if (head === -1) return 'it does not exist'
  return view.state(stream).metadata.deleted ? `it was deleted after event ${head}` : `its last event is number ${head}`
}

/**
 * The search for an append's conditions is out of date. The writer searches again; a client gets this error only when
 * the searches keep going out of date.
 */
export class SearchOutdated extends DaybookError {
  constructor() {
    const why =
      'Metadata and access rules change too fast to search the log for the conditions on events. Try again later.'
    super('overloaded', why, { written: false, retry: true })
  }
}
