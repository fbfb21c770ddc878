/** What is in the store: streams, categories, types. */
import { type Static, Type } from 'typebox'
import { limits } from '../src/limits.js'

export const ListingQuery = Type.Object(
  {
    prefix: Type.Optional(Type.String({ description: 'Names that begin so.' })),
    after: Type.Optional(Type.String({ description: 'Names after this one, in UTF-8 order.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.listing_names_max, description: 'Default 100.' })),
    system: Type.Optional(Type.Boolean({ description: '`true` lists system streams too. Default `false`.' }))
  },
  { additionalProperties: false }
)
export type ListingQuery = Static<typeof ListingQuery>

const links = Type.Object({ self: Type.String(), next: Type.Optional(Type.String()) })

export const StreamList = Type.Object(
  {
    streams: Type.Array(
      Type.Object({
        stream: Type.String(),
        head: Type.Integer({ description: 'Number of the last event.' }),
        updated: Type.String({ format: 'date-time', description: '`created` of the last event.' })
      })
    ),
    links
  },
  { $id: 'StreamList' }
)

const Counted = Type.Object({
  name: Type.String(),
  events: Type.Optional(
    Type.Integer({
      description:
        'Events that you may read, without those of system streams; absent where they were not all looked at.'
    })
  ),
  updated: Type.Optional(Type.String({ format: 'date-time' }))
})
export const CategoryList = Type.Object({ categories: Type.Array(Counted), links }, { $id: 'CategoryList' })
export const TypeList = Type.Object({ types: Type.Array(Counted), links }, { $id: 'TypeList' })
