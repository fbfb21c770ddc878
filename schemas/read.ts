/** Query parameters and responses of reads (native contract §2). */
import type { Static } from 'typebox'
import { limits } from '../src/limits.js'
import { RecordedEvent } from './events.js'
import { ref, Type } from './type.js'

const many = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: limits.filter_values_max, description }))
const text = (description: string) => Type.Optional(Type.String({ description }))

const bounds = {
  from: text(
    'Only events at or after this bound: a cursor, `start`, `end`, or an instant (RFC 3339, a date, an age like `-15m`). Default `start`.'
  ),
  after: text('Only events strictly after this cursor or instant.'),
  to: text('Only events at or before this cursor or instant.'),
  before: text('Only events strictly before this cursor or instant.'),
  cursor: text(
    'Continues after an earlier page, within the bounds: strictly after this cursor, or strictly before it with `order=desc`. The links of a page contain it.'
  ),
  log: Type.Optional(
    Type.String({
      examples: ['5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'],
      pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
      description:
        'Identity of the log that the cursors were read from: the `Daybook-Log` header of that response. If that log lost its last events since, a cursor that now refers to another event is refused (409 `log-changed`). The request header `Daybook-Log` has the same effect.'
    })
  ),
  order: Type.Optional(
    Type.Enum(['asc', 'desc'], { description: '`asc`: oldest events first. `desc`: newest first. Default `asc`.' })
  ),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.page_events_max,
      description: `Maximum number of events in a page. Default ${limits.page_events_default}.`
    })
  )
}

const eventFilters = {
  type: many('Only events of this type. Repeated: of any of these types.'),
  'type.prefix': many('Only events whose type has this prefix.'),
  'type.regex': many('Only events whose type contains a match of this regular expression (RE2 syntax).'),
  'type.not': many('Only events that are not of this type.'),
  tag: many('Only events with this tag. Repeated: with all of these tags.'),
  'occurred.from': text('Only events that `occurred` at or after this instant.'),
  'occurred.to': text('Only events that `occurred` at or before this instant.'),
  where: text('Reserved for expressions over data and metadata. Not implemented yet (501).')
}

const showing = {
  resolveLinks: Type.Optional(
    Type.Boolean({
      description:
        '`true` shows the target of a link event, `false` the link event itself. Default `true`. Reads of the whole log always show link events themselves.'
    })
  )
}

const around = {
  ...showing,
  atLeast: Type.Optional(
    Type.Integer({
      minimum: 0,
      description: 'The server does not answer before the log has reached this position. `wait` limits the time.'
    })
  ),
  wait: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: limits.wait_seconds_max,
      description:
        'Maximum seconds to wait. With `atLeast`: for that position, then 409 `not-there-yet`. Without `atLeast`: for the first event of a page that would be empty. The header `Prefer: wait=` has the same effect.'
    })
  ),
  format: Type.Optional(
    Type.Enum(['page', 'event', 'ndjson', 'sse', 'atom'], {
      description: 'Format of the response; overrides `Accept`.'
    })
  ),
  trailer: Type.Optional(
    Type.Boolean({ description: 'NDJSON: a complete response ends with the line `{"end":{…}}`. Default `false`.' })
  )
}

/** Parameters of the delivery of a live read. */
const liveParameters = {
  live: Type.Optional(
    Type.Boolean({
      description:
        'NDJSON: `true` continues with new events as they are committed. SSE and WebSocket continue by default; `false` ends them after the last existing event.'
    })
  ),
  heartbeat: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 3600,
      description: `Live: seconds between heartbeats; 0: no heartbeats. Default ${limits.heartbeat_seconds_default}.`
    })
  ),
  checkpointEvery: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: `Live, filtered: number of events without a match after which a checkpoint is sent. Default ${limits.checkpoint_every_default}.`
    })
  ),
  credit: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: limits.credit_max,
      description: 'WebSocket: events that the server may send before a `credit` frame grants more. Default: unlimited.'
    })
  ),
  batch: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.batch_frame_events_max,
      description: 'WebSocket: maximum number of events in one frame. Default 1.'
    })
  ),
  statistics: Type.Optional(
    Type.Number({ minimum: 1, maximum: 3600, description: 'WebSocket: seconds between `statistics` frames.' })
  ),
  events: Type.Optional(
    Type.Enum(['typed'], {
      description:
        'SSE: `typed` sends the type of an event as its SSE `event` name, for `addEventListener`. An event whose type is `open`, `error`, `message` or the name of a frame (`subscribed`, `closing` …) has no name; `onmessage` receives it. Without `typed`, `onmessage` receives all events.'
    })
  ),
  lastEventId: text(
    'Live reads only. Continues after this cursor, and overrides `from` and `after`. For EventSource polyfills that cannot set the header `Last-Event-ID`. The header has precedence.'
  ),
  takeover: Type.Optional(
    Type.Boolean({
      description:
        'Live, for a named consumer: `true` ends the connection that reads for the consumer now. Default `false`.'
    })
  )
}
const consumer = text('Live: reads for this named consumer, from its position.')

export const StreamQuery = Type.Object(
  { ...bounds, ...eventFilters, ...around, ...liveParameters, consumer },
  { additionalProperties: false }
)
const logFilters = {
  stream: many('Only events of this stream. Repeated: of any of these streams.'),
  'stream.prefix': many('Only events of streams whose name has this prefix.'),
  'stream.regex': many('Only events of streams whose name contains a match of this regular expression (RE2 syntax).'),
  'stream.not': many('Only events that are not in this stream.'),
  category: many(
    'Only events of streams of this category: by default the part of the stream name before its first `-`; the server can be configured otherwise.'
  ),
  system: Type.Optional(Type.Boolean({ description: '`true` also shows events of system streams. Default `false`.' })),
  truncated: Type.Optional(
    Type.Boolean({
      description: '`true` also shows events that the metadata of their stream hides. Default `false`.'
    })
  )
}

/** The parameters that the source of a named consumer may have. */
export const StreamSource = Type.Object({ ...eventFilters, ...showing }, { additionalProperties: false })
export const EventsSource = Type.Object({ ...eventFilters, ...logFilters, ...showing }, { additionalProperties: false })

export const EventsQuery = Type.Object(
  {
    ...bounds,
    ...eventFilters,
    ...logFilters,
    ...around,
    record: Type.Optional(
      Type.Boolean({
        description:
          'NDJSON, not live: `true` shows `record` in each event. Removed events are shown as lines with `stream`, `number`, `position`, `cursor`, `created` and `record`. Default `false`.'
      })
    ),
    ...liveParameters,
    consumer
  },
  { additionalProperties: false }
)
export type ReadQuery = Static<typeof EventsQuery>

/** Query of a read for a named consumer. It has no filters: those are in the source of the consumer. */
export const ConsumerQuery = Type.Object(
  { limit: bounds.limit, wait: around.wait, format: around.format, trailer: around.trailer, ...liveParameters },
  { additionalProperties: false }
)
export type ConsumerQuery = Static<typeof ConsumerQuery>

export const StreamParams = Type.Object({
  stream: Type.String({ description: 'Name of the stream, percent-encoded once.' })
})
export type StreamParams = Static<typeof StreamParams>

/** Number or position of an event; `head` is the last event. */
export const EventPlace = Type.Union(
  [Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Enum(['head'])],
  {
    description: 'A whole number from 0, or `head` for the last event.'
  }
)
export const EventQuery = Type.Object(
  { format: around.format, atLeast: around.atLeast, wait: around.wait, resolveLinks: around.resolveLinks },
  { additionalProperties: false }
)
export type EventQuery = Static<typeof EventQuery>

const link = Type.Optional(Type.String({ description: 'Absolute path, with query.' }))
export const Page = Type.Object(
  {
    stream: Type.Optional(Type.String()),
    events: Type.Array(ref(RecordedEvent)),
    cursor: Type.String({
      description: 'The end of this page, to continue from. It advances even if no event matches the filters.'
    }),
    head: Type.Optional(
      Type.Union([Type.Integer(), Type.Null()], {
        description:
          'Number of the last event of the stream, or position of the last event of the log. Only on pages that reach the end.'
      })
    ),
    atEnd: Type.Optional(
      Type.Boolean({
        description: '`true` on a page that reaches the end of the stream or log. Other pages do not have this member.'
      })
    ),
    scanned: Type.Optional(
      Type.Object(
        { from: Type.Integer(), to: Type.Integer() },
        { description: 'The range of events that a filtered page has checked.' }
      )
    ),
    links: Type.Object({
      self: Type.String(),
      next: link,
      newer: link,
      older: link,
      first: link,
      last: link,
      live: Type.Optional(
        Type.String({ description: 'Address of a live read after this page, over WebSocket, SSE or NDJSON.' })
      ),
      metadata: link
    })
  },
  { $id: 'Page', description: 'A page of events.' }
)

/** Description of the WebSocket protocol, which OpenAPI cannot express. */
export const overWebSocket =
  'With `Upgrade: websocket` (sub-protocol `daybook.v1`) this is a live read over WebSocket. Each message from the server is a `ServerFrame`, and each message from the client a `ClientFrame`. `subscribe` begins further live reads on the same socket. `/subscriptions` opens a socket without a live read.'

/** The formats of a read of many events. */
export const manyEvents = {
  'application/json': { schema: ref(Page) },
  'application/x-ndjson': {
    schema: Type.String({ description: 'One recorded event per line; with `live=true` without an end.' })
  },
  'text/event-stream': {
    schema: Type.String({
      description:
        'Each message has JSON in `data` and a cursor in `id`. The first message is named `subscribed`; its data is a `Subscribed`. Messages without a name are recorded events. The messages `caughtUp`, `fellBehind`, `checkpoint` and `closing` are named. If the read cannot be served now (503, 429), the response has status 200 and is a `closing` message with the problem, and a `retry` field, because an EventSource does not reconnect after another status.'
    })
  }
}

/**
 * The format of a read of one event, under the only media type that always selects it. `Accept: *\/*` returns the same
 * document as `application/json`. `Accept: application/json` alone, on a stream, selects EventStoreDB's format: the
 * bare data.
 */
export const oneEvent = { 'application/vnd.daybook.event+json': { schema: ref(RecordedEvent) } }
