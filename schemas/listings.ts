/** Listings of the streams, categories and event types in the store. */
import { type Static, Type } from 'typebox'
import { limits } from '../src/limits.js'

export const ListingQuery = Type.Object(
  {
    prefix: Type.Optional(Type.String({ description: 'Only names with this prefix.' })),
    after: Type.Optional(Type.String({ description: 'Only names after this one, in UTF-8 order.' })),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.listing_names_max,
        description: 'Maximum number of names. Default 100.'
      })
    ),
    system: Type.Optional(Type.Boolean({ description: '`true` also lists system streams. Default `false`.' }))
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
        'Number of events that the caller may read, without events of system streams. Absent if not all of them were counted.'
    })
  ),
  updated: Type.Optional(Type.String({ format: 'date-time' }))
})
export const CategoryList = Type.Object({ categories: Type.Array(Counted), links }, { $id: 'CategoryList' })
export const TypeList = Type.Object({ types: Type.Array(Counted), links }, { $id: 'TypeList' })
