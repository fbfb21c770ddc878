/** Feeds and entries of the Atom dialect as JSON (reference 8). */
import { Type } from 'typebox'
import { ref } from './ref.js'

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()])
const AtomInstant = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,7})?Z$' })
const Author = Type.Object({ name: Type.String() }, { additionalProperties: false })

const AtomLink = Type.Object(
  { uri: Type.String({ pattern: '^https?://' }), relation: Type.String(), type: Type.Null() },
  { additionalProperties: false }
)

/** Members that an entry has with `embed=rich` and above, before the members of every entry. */
const rich = {
  eventId: Type.Optional(Type.String({ format: 'uuid' })),
  eventType: Type.Optional(Type.String()),
  eventNumber: Type.Optional(Type.Integer({ minimum: 0 })),
  data: Type.Optional(nullable(Type.String())),
  metaData: Type.Optional(nullable(Type.String())),
  linkMetaData: Type.Optional(nullable(Type.String())),
  streamId: Type.Optional(Type.String()),
  isJson: Type.Optional(Type.Boolean()),
  isMetaData: Type.Optional(Type.Boolean()),
  isLinkMetaData: Type.Optional(Type.Boolean()),
  isRedacted: Type.Optional(Type.Boolean()),
  positionEventNumber: Type.Optional(Type.Integer({ minimum: 0 })),
  positionStreamId: Type.Optional(Type.String())
}

const Content = Type.Object(
  {
    eventStreamId: Type.String(),
    eventNumber: Type.Integer({ minimum: 0 }),
    eventType: Type.String(),
    eventId: Type.String({ format: 'uuid' }),
    data: Type.Unknown(),
    metadata: Type.Unknown()
  },
  { additionalProperties: false }
)

export const AtomEntry = Type.Object(
  {
    ...rich,
    title: Type.String({ description: 'Number and stream of the event: `7@cart-1`.' }),
    id: Type.String({ pattern: '^https?://' }),
    updated: AtomInstant,
    author: Author,
    summary: Type.String({ description: 'Type of the event; `$>` for a link.' }),
    retryCount: nullable(Type.Integer()),
    content: nullable(Content),
    links: Type.Array(AtomLink)
  },
  { $id: 'AtomEntry', additionalProperties: false, description: 'An event in an Atom feed.' }
)

export const AtomFeed = Type.Object(
  {
    title: Type.String(),
    id: Type.String({ pattern: '^https?://' }),
    updated: AtomInstant,
    streamId: nullable(Type.String()),
    author: Author,
    headOfStream: Type.Boolean(),
    selfUrl: nullable(Type.String()),
    eTag: nullable(Type.String()),
    links: Type.Array(AtomLink),
    entries: Type.Array(ref(AtomEntry))
  },
  { $id: 'AtomFeed', additionalProperties: false, description: 'A page of an Atom feed, newest first.' }
)
