/** Bodies and answers of appends (native contract §3, §4). */
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
      description: 'The number of its last event, "none" (never written) or "exists".'
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
              description: 'An event with one of these types (any, when none is named) and all of these tags.'
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
        description: 'Only events after this position count. Default: all that can be seen.'
      })
    )
  },
  {
    additionalProperties: false,
    description:
      'Dynamic consistency boundary: nothing is written when an event that matches one of the items is there.'
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
        description: 'Streamed write: events a commit, a receipt line for each.'
      })
    )
  },
  { additionalProperties: false }
)
export type EventsAppendQuery = Static<typeof EventsAppendQuery>

const Appended = Type.Object({
  id: Uuid,
  stream: Type.Optional(Type.String({ description: 'On appends to several streams.' })),
  number: Type.Integer(),
  position: Type.Integer(),
  created: Type.String({ format: 'date-time' })
})

export const AppendResult = Type.Object(
  {
    stream: Type.Optional(Type.String()),
    head: Type.Optional(Type.Integer({ description: "The stream's last number after this append." })),
    heads: Type.Optional(Type.Record(Type.String(), Type.Integer(), { description: 'On appends to several streams.' })),
    position: Type.Integer({ description: 'Position of the last event of this append.' }),
    replayed: Type.Boolean({ description: 'They were there already; nothing was written.' }),
    events: Type.Optional(Type.Array(Type.Union([Appended, ref(RecordedEvent)])))
  },
  { $id: 'AppendResult' }
)

export const Receipt = Type.Object(
  {
    receipt: Type.Object({
      lines: Type.Integer({ description: 'The last line that this receipt covers.' }),
      appended: Type.Integer({ description: 'Events written.' }),
      replayed: Type.Integer({ description: 'Events that were there already.' }),
      position: Type.Integer({ description: 'Position of the last event of the batch.' })
    })
  },
  { $id: 'Receipt' }
)
export type Receipt = Static<typeof Receipt>
