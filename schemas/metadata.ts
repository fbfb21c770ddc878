/** Stream metadata under readable names (native contract §3). */
import { Type } from 'typebox'
import { DURATION_PATTERN } from '../src/time/duration.js'

const names = (description: string) =>
  Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], { description }))

export const StreamAcl = Type.Object(
  {
    read: names('Users and roles that may read the stream.'),
    write: names('… that may append to it.'),
    delete: names('… that may delete it.'),
    metadataRead: names('… that may read its metadata. Not named: those who may read the stream.'),
    metadataWrite: names('… that may write its metadata.')
  },
  { additionalProperties: false }
)

export const StreamMetadata = Type.Object(
  {
    maxAge: Type.Optional(
      Type.String({
        pattern: DURATION_PATTERN,
        examples: ['PT1H', 'P30D'],
        description:
          'Only events younger than this are seen: an ISO 8601 duration in weeks, days, hours, minutes, seconds.'
      })
    ),
    maxCount: Type.Optional(Type.Integer({ minimum: 1, description: 'Only this many of the last events are seen.' })),
    truncateBefore: Type.Optional(Type.Integer({ minimum: 0, description: 'Events before this number are not seen.' })),
    cacheControl: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Seconds that the newest page may be kept, also by shared caches.' })
    ),
    acl: Type.Optional(StreamAcl)
  },
  {
    $id: 'StreamMetadata',
    description:
      'What is known of a stream. Members of your own are kept; a name that is a slip of one of these is refused.'
  }
)

export const MetadataWritten = Type.Object(
  {
    stream: Type.String(),
    version: Type.Integer({ description: 'How often metadata was written before.' }),
    position: Type.Integer({ description: 'Position of the event that says so.' })
  },
  { $id: 'MetadataWritten' }
)
