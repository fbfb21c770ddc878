/** Parses the body of `POST /events`: events of several streams, and conditions (native contract §4). */
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { MemberNames } from '../../../src/json-bytes.js'
import { limits } from '../../../src/limits.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { unknownName } from '../problems/known-names.js'
import { escaped } from '../problems/shape-faults.js'
import { invalidBody } from './body.js'
import { type Conditions, parseConditions } from './conditions.js'
import { elementSteps } from './event-body.js'
import type { ParseOptions } from './event-draft.js'
import { parseInTurns } from './parsing-turns.js'

type EventsBody = { events: NewEvent[] } & Conditions

/**
 * Parses `{ events, conditions }`. Returns a promise for a large body, which is parsed in turns.
 * @throws `malformed-json`, `invalid-body`, `empty-batch`, `batch-too-large`, `bad-condition`, and the errors of
 *   parseEvent
 */
export function parseEventsBody(body: Buffer, ids: ParseOptions['ids']): EventsBody | Promise<EventsBody> {
  return parseInTurns(body.length, bodySteps(body, ids))
}

function* bodySteps(body: Buffer, ids: ParseOptions['ids']): Generator<number, EventsBody> {
  const reader = new JsonReader(body)
  let events: NewEvent[] = []
  let conditions: Conditions = { conditions: [], matches: [] }
  if (!reader.atObject)
    throw invalidBody('The body must be an object with "events" and optionally "conditions".', { pointer: '' })
  const names = new MemberNames()
  for (let name = reader.enterObject(names); name !== undefined; name = reader.nextMember(names)) {
    if (name === 'events') {
      if (!reader.atArray) throw invalidBody('"events" must be a list.', { pointer: '/events' })
      events = yield* elementSteps(reader, { stream: undefined, ids, within: '/events' })
    } else if (name === 'conditions') conditions = parseConditions(reader.value(limits.conditions_bytes_max))
    else throw invalidBody(unknownName(name, ['events', 'conditions']), { pointer: `/${escaped(name)}` })
  }
  reader.end()
  if (events.length === 0) throw new DaybookError('empty-batch', 'The body contains no event to append.')
  return { events, ...conditions }
}
