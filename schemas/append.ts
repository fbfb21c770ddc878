/** Bodies and responses of appends (native contract §3, §4). */
import { type Static, Type } from 'typebox'
import { limits } from '../src/limits.js'
import { NewEvent, NewEventOfStream, RecordedEvent, Uuid } from './events.js'
import { ref } from './ref.js'

export const StreamAppendBody = Type.Union([
  ref(NewEvent),
  Type.Array(ref(NewEvent), { minItems: 1, maxItems: limits.batch_events_max })
])

export const StreamConditionBody = Type.Object(
  {
    stream: Type.String({ minLength: 1 }),
    head: Type.Union([Type.Integer({ minimum: 0 }), Type.Enum(['none', 'exists'])], {
      description:
        'The expected head of the stream: the number of its last event, "none" (never written) or "exists" (at least one event).'
    })
  },
  { additionalProperties: false }
)

export const MatchConditionBody = Type.Object(
  {
    failIfEventsMatch: Type.Object(
      {
        items: Type.Array(
          Type.Object(
            {
              types: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: limits.filter_values_max })),
              tags: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: limits.tags_max }))
            },
            {
              additionalProperties: false,
              minProperties: 1,
              description: 'Matches events that have one of these types (default: any type) and all of these tags.'
            }
          ),
          { minItems: 1, maxItems: limits.match_items_max }
        )
      },
      { additionalProperties: false }
    ),
    after: Type.Optional(
      Type.Integer({
        minimum: -1,
        description: 'Only events after this position can match. Default: all events that the caller may read.'
      })
    )
  },
  {
    additionalProperties: false,
    description:
      'Dynamic consistency boundary: the append fails if the log contains an event that matches one of the items.'
  }
)

export type StreamConditionBody = Static<typeof StreamConditionBody>
export type MatchConditionBody = Static<typeof MatchConditionBody>

export const AppendCondition = Type.Union([StreamConditionBody, MatchConditionBody], { $id: 'AppendCondition' })
export type AppendCondition = Static<typeof AppendCondition>
export const AppendConditions = Type.Array(AppendCondition, { maxItems: limits.conditions_max })

export const EventsAppendBody = Type.Object(
  {
    events: Type.Array(ref(NewEventOfStream), { minItems: 1, maxItems: limits.batch_events_max }),
    conditions: Type.Optional(AppendConditions)
  },
  { $id: 'AppendRequest', additionalProperties: false }
)

export const AppendQuery = Type.Object({}, { additionalProperties: false })
export const EventsAppendQuery = Type.Object(
  {
    batch: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.batch_events_max,
        description:
          'Makes the append a streamed write: events per commit. The response has one receipt line per commit.'
      })
    )
  },
  { additionalProperties: false }
)
export type EventsAppendQuery = Static<typeof EventsAppendQuery>

const Appended = Type.Object({
  id: Uuid,
  stream: Type.Optional(Type.String({ description: 'Only for appends to several streams.' })),
  number: Type.Integer(),
  position: Type.Integer(),
  created: Type.String({ format: 'date-time' })
})

export const AppendResult = Type.Object(
  {
    stream: Type.Optional(Type.String()),
    head: Type.Optional(
      Type.Integer({
        description: 'Number of the last event of the stream after this append. Absent for several streams.'
      })
    ),
    heads: Type.Optional(
      Type.Record(Type.String(), Type.Integer(), {
        description: 'The head of each stream after this append. Only for appends to several streams.'
      })
    ),
    position: Type.Integer({ description: 'Position of the last event of this append.' }),
    replayed: Type.Boolean({
      description: '`true`: the events were in the log already, from an earlier attempt. Nothing was written.'
    }),
    events: Type.Optional(Type.Array(Type.Union([Appended, ref(RecordedEvent)])))
  },
  { $id: 'AppendResult' }
)

export const Receipt = Type.Object(
  {
    receipt: Type.Object({
      lines: Type.Integer({ description: 'Number of the last line of the body that this receipt covers.' }),
      appended: Type.Integer({ description: 'Events written.' }),
      replayed: Type.Integer({ description: 'Events that were in the log already.' }),
      position: Type.Integer({ description: 'Position of the last event of the batch.' })
    })
  },
  { $id: 'Receipt' }
)
export type Receipt = Static<typeof Receipt>
