/** Events: what is appended and what is read. */
import { Type } from 'typebox'
import { limits } from '../src/limits.js'
import { ref } from './ref.js'

export const Uuid = Type.String({
  format: 'uuid',
  description: 'A UUID, in either case; compared and shown in lower case.'
})
export const Instant = Type.String({
  format: 'date-time',
  maxLength: 64,
  description: 'RFC 3339, for example 2026-11-23T10:15:29Z'
})
export const Tags = Type.Array(Type.String({ minLength: 1, maxLength: limits.tag_bytes_max }), {
  maxItems: limits.tags_max,
  uniqueItems: true
})
const EventType = Type.String({ minLength: 1, maxLength: limits.type_bytes_max })
const Data = Type.Unknown({ description: 'Any JSON. Kept byte for byte.' })
const Metadata = Type.Unknown({ description: 'Any JSON about the event. Kept byte for byte.' })

export const NewEvent = Type.Object(
  {
    type: EventType,
    id: Type.Optional(Uuid),
    occurred: Type.Optional(Instant),
    tags: Type.Optional(Tags),
    data: Type.Optional(Data),
    metadata: Type.Optional(Metadata)
  },
  { $id: 'NewEvent', additionalProperties: false, description: 'An event to append.' }
)

export const NewEventOfStream = Type.Object(
  { stream: Type.String({ minLength: 1 }), ...NewEvent.properties },
  { $id: 'NewEventOfStream', additionalProperties: false, description: 'An event to append, with its stream.' }
)

/** The fields of a record that are not part of the event (`RecordMark` of src/log/format.ts). */
export const RecordMark = Type.Object(
  {
    version: Type.Literal(1, { description: 'Of the record.' }),
    kind: Type.Enum(['event', 'removed', 'tombstone'], {
      description: '`removed`: the event is gone, and only its place is there. `tombstone`: its stream ends with it.'
    }),
    flags: Type.Integer({ minimum: 0, maximum: 0xffff, description: 'As on disk.' }),
    crc: Type.String({ pattern: '^[0-9a-f]{8}$', examples: ['0f8fad5b'], description: 'Checksum of the record.' }),
    hash: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        examples: ['9f86d081884c7d65'.repeat(4)],
        description: 'Removed: SHA-256 of the record that stood there.'
      })
    )
  },
  {
    $id: 'RecordMark',
    additionalProperties: false,
    description:
      'With `record=true`: what the record holds beside the event. Both together give the record again, byte for byte.'
  }
)

/** An event type in a log, where EventStoreDB's form may have put a longer one. */
export const RecordedType = Type.String({ minLength: 1, maxLength: limits.dialect_type_bytes_max })

export const RecordedEvent = Type.Object(
  {
    id: Uuid,
    type: RecordedType,
    stream: Type.String(),
    number: Type.Integer({ minimum: 0, description: 'Place in the stream, from 0.' }),
    position: Type.Integer({ minimum: 0, description: 'Place in the log, from 0.' }),
    cursor: Type.String({ description: 'Hand it back to go on from here.' }),
    created: Type.String({ format: 'date-time', description: 'When the log took it. Never goes back.' }),
    occurred: Type.Optional(Instant),
    tags: Type.Optional(Tags),
    contentType: Type.Optional(Type.String({ description: 'Present when the data is not JSON.' })),
    data: Type.Optional(Data),
    dataText: Type.Optional(Type.String({ description: 'Data that is not JSON but is UTF-8 text.' })),
    dataBase64: Type.Optional(
      Type.String({
        description: 'Data that is neither; with `record=true` also text that JSON makes more than twice as long.'
      })
    ),
    metadata: Type.Optional(Metadata),
    link: Type.Optional(
      Type.Object(
        { stream: Type.String(), number: Type.Integer({ minimum: 0 }) },
        { description: 'Where it was found, when it was found through a link or an index stream.' }
      )
    ),
    retryCount: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'In reads for a consumer: it was sent so often before, to a reader of this consumer, and not acknowledged. Counted since the server started; absent when it is sent for the first time.'
      })
    ),
    record: Type.Optional(ref(RecordMark))
  },
  { $id: 'RecordedEvent', description: 'An event as the log holds it: the same object on every transport.' }
)
