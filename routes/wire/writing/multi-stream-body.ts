/** The body of `POST /events`: events of several streams, and what must hold for them (native contract §4). */
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { limits } from '../../../src/limits.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { type Conditions, parseConditions } from './conditions.js'
import { parseEvent, tooManyEvents } from './event-body.js'
import type { ParseOptions } from './event-draft.js'

/**
 * `{ events, conditions }`.
 * @throws `malformed-json`, `invalid-body`, `empty-batch`, `batch-too-large`, `bad-condition`, and what is wrong with an event
 */
export function parseEventsBody(body: Buffer, ids: ParseOptions['ids']): { events: NewEvent[] } & Conditions {
  const reader = new JsonReader(body)
  const events: NewEvent[] = []
  let conditions: Conditions = { conditions: [], matches: [] }
  if (!reader.atObject)
    throw new DaybookError('invalid-body', 'The body is an object with "events" and optionally "conditions".')
  reader.members((name) => {
    if (name === 'events') {
      if (!reader.atArray) throw new DaybookError('invalid-body', '"events" is an array.')
      reader.elements((index) => {
        if (index >= limits.batch_events_max) throw tooManyEvents()
        events.push(parseEvent(reader, index, { stream: undefined, ids }))
      })
    } else if (name === 'conditions') conditions = parseConditions(reader.value(limits.conditions_bytes_max))
    else throw new DaybookError('invalid-body', `There is no "${name}" here; known: events, conditions.`)
  })
  reader.end()
  if (events.length === 0) throw new DaybookError('empty-batch', 'There is no event to append.')
  return { events, ...conditions }
}
