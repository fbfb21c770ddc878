/** Events in requests and responses. */

import { limits } from '../src/limits.js'
import { ref, Type } from './type.js'

export const Uuid = Type.String({
  format: 'uuid',
  description: 'A UUID in upper or lower case. The server compares and returns it in lower case.'
})
export const Instant = Type.String({
  format: 'date-time',
  maxLength: 64,
  description: 'An RFC 3339 time, for example `2026-11-23T10:15:29Z`.'
})
export const Tags = Type.Array(Type.String({ minLength: 1, maxLength: limits.tag_bytes_max }), {
  maxItems: limits.tags_max,
  uniqueItems: true
})
const EventType = Type.String({ minLength: 1, maxLength: limits.type_bytes_max })
const Data = Type.Unknown({ description: 'Any JSON. Stored byte for byte.' })
const Metadata = Type.Unknown({ description: 'Any JSON about the event. Stored byte for byte.' })

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
    version: Type.Literal(1, { description: 'Version of the record format.' }),
    kind: Type.Enum(['event', 'removed', 'tombstone'], {
      description:
        '`removed`: the event was removed, and only its number and position remain. `tombstone`: its stream was deleted permanently.'
    }),
    flags: Type.Integer({ minimum: 0, maximum: 0xffff, description: 'The flags of the record on disk.' }),
    crc: Type.String({ pattern: '^[0-9a-f]{8}$', examples: ['0f8fad5b'], description: 'Checksum of the record.' }),
    hash: Type.Optional(
      Type.String({
        pattern: '^[0-9a-f]{64}$',
        examples: ['9f86d081884c7d65'.repeat(4)],
        description: 'Only for `removed`: SHA-256 of the original record.'
      })
    )
  },
  {
    $id: 'RecordMark',
    additionalProperties: false,
    description:
      'Present with `record=true`: the fields of the record that are not part of the event. Together with the event they reproduce the record byte for byte.'
  }
)

/** An event type that is read. It may be longer than a type of NewEvent: the EventStoreDB API accepts longer types. */
export const RecordedType = Type.String({ minLength: 1, maxLength: limits.dialect_type_bytes_max })

export const RecordedEvent = Type.Object(
  {
    id: Uuid,
    type: RecordedType,
    stream: Type.String(),
    number: Type.Integer({ minimum: 0, description: 'Number of the event in its stream, from 0.' }),
    position: Type.Integer({ minimum: 0, description: 'Position of the event in the log, from 0.' }),
    cursor: Type.String({ description: 'Send it as `after` to continue after this event.' }),
    created: Type.String({
      format: 'date-time',
      description: 'When the event was committed. Never decreases along the log.'
    }),
    occurred: Type.Optional(Instant),
    tags: Type.Optional(Tags),
    contentType: Type.Optional(Type.String({ description: 'Content type of the data; absent if the data is JSON.' })),
    data: Type.Optional(Data),
    dataText: Type.Optional(Type.String({ description: 'The data, if it is UTF-8 text but not JSON.' })),
    dataBase64: Type.Optional(
      Type.String({
        description:
          'The data in base64, if it is binary. With `record=true` also text whose JSON form would be more than twice as long.'
      })
    ),
    metadata: Type.Optional(Metadata),
    link: Type.Optional(
      Type.Object(
        { stream: Type.String(), number: Type.Integer({ minimum: 0 }) },
        { description: 'The link or entry of an index stream through which the event was read.' }
      )
    ),
    retryCount: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Only in reads for a consumer: how often the event was sent to readers of this consumer before, without an acknowledgement. Counted since the server started; absent when the event is sent for the first time.'
      })
    ),
    record: Type.Optional(ref(RecordMark))
  },
  { $id: 'RecordedEvent', description: 'An event in the log. Every transport sends the same object.' }
)
