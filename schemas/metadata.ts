/** Stream metadata under readable names (native contract §3). */

import { DURATION_PATTERN } from '../src/time/duration.js'
import { Type } from './type.js'

const names = (description: string) =>
  Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())], { description }))

export const StreamAcl = Type.Object(
  {
    read: names('Users and roles that may read the stream.'),
    write: names('Users and roles that may append to the stream.'),
    delete: names('Users and roles that may delete the stream.'),
    metadataRead: names(
      'Users and roles that may read the metadata of the stream. Default: those that may read the stream.'
    ),
    metadataWrite: names('Users and roles that may write the metadata of the stream.')
  },
  { additionalProperties: false }
)

export const StreamMetadata = Type.Object(
  {
    maxAge: Type.Optional(
      Type.String({
        pattern: DURATION_PATTERN,
        examples: ['PT1H', 'P30D'],
        description: 'Hides events older than this: an ISO 8601 duration in weeks, days, hours, minutes and seconds.'
      })
    ),
    maxCount: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Maximum number of visible events. Older events are hidden.' })
    ),
    truncateBefore: Type.Optional(Type.Integer({ minimum: 0, description: 'Hides events before this number.' })),
    cacheControl: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Seconds that private and shared caches may keep the newest page of the stream.'
      })
    ),
    acl: Type.Optional(StreamAcl)
  },
  {
    $id: 'StreamMetadata',
    description:
      'Metadata of a stream. Members of your own are stored too. A name that looks like a misspelling of one of these members is refused.'
  }
)

export const MetadataWritten = Type.Object(
  {
    stream: Type.String(),
    version: Type.Integer({ description: 'Version of the metadata, from 0: how often it was written before.' }),
    position: Type.Integer({ description: 'Position of the event that contains the metadata.' })
  },
  { $id: 'MetadataWritten' }
)
