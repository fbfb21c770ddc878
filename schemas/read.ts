/** Query parameters and answers of reads (native contract §2). */
import { type Static, Type } from 'typebox'
import { limits } from '../src/limits.js'
import { RecordedEvent } from './events.js'
import { ref } from './ref.js'

const many = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { maxItems: limits.filter_values_max, description }))
const text = (description: string) => Type.Optional(Type.String({ description }))

const bounds = {
  from: text(
    'At or after: a cursor, `start`, `end`, or an instant (RFC 3339, a date, an age like `-15m`). Default `start`.'
  ),
  after: text('Strictly after: a cursor or an instant.'),
  to: text('At or before: a cursor or an instant.'),
  before: text('Strictly before: a cursor or an instant.'),
  cursor: text(
    'Goes on where an earlier page got to, within the bounds: strictly after this cursor, with `order=desc` strictly before it. Links of pages carry it.'
  ),
  log: Type.Optional(
    Type.String({
      examples: ['5c1f7f3e-8a5b-4a57-9d0b-2a1d6e0f9c11'],
      pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
      description:
        'The log that the cursors were read from, as `Daybook-Log` of the answer said. When that log has lost its end since, a cursor that now stands for another event is refused (409 `log-changed`). The request header `Daybook-Log` means the same.'
    })
  ),
  order: Type.Optional(Type.Enum(['asc', 'desc'], { description: 'Which end to begin at. Default `asc`.' })),
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.page_events_max,
      description: `Events in a page, at most. Default ${limits.page_events_default}.`
    })
  )
}

const eventFilters = {
  type: many('Of this type; repeated: of any of these.'),
  'type.prefix': many('Of a type that begins so.'),
  'type.regex': many('Of a type that an expression (RE2 syntax) finds something in.'),
  'type.not': many('Not of this type.'),
  tag: many('Carries this tag; repeated: all of them.'),
  'occurred.from': text('`occurred` at or after this instant.'),
  'occurred.to': text('`occurred` at or before this instant.'),
  where: text('Reserved for an expression over data and metadata; 501 until it exists.')
}

const showing = {
  resolveLinks: Type.Optional(
    Type.Boolean({
      description: '`false` shows link events themselves. Default `true`. The whole log always shows them themselves.'
    })
  )
}

const around = {
  ...showing,
  atLeast: Type.Optional(
    Type.Integer({ minimum: 0, description: 'Do not answer before the log has reached this position.' })
  ),
  wait: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: limits.wait_seconds_max,
      description:
        'Seconds to wait for `atLeast`, then 409 `not-there-yet`; without it, for an event on a page that would be empty. `Prefer: wait=` says the same.'
    })
  ),
  format: Type.Optional(
    Type.Enum(['page', 'event', 'ndjson', 'sse', 'atom'], { description: 'What `Accept` would say.' })
  ),
  trailer: Type.Optional(Type.Boolean({ description: 'NDJSON: a whole answer ends in `{"end":{…}}`.' }))
}

/** How a live read is sent. */
const liveParameters = {
  live: Type.Optional(
    Type.Boolean({
      description:
        'NDJSON: `true` goes on with new events. SSE and WebSocket always do, unless `false` ends them at the last event there is.'
    })
  ),
  heartbeat: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 3600,
      description: `Live: seconds between signs of life, 0 for none. Default ${limits.heartbeat_seconds_default}.`
    })
  ),
  checkpointEvery: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1_000_000,
      description: `Live: so many events passed over, a checkpoint says so. Default ${limits.checkpoint_every_default}.`
    })
  ),
  credit: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: limits.credit_max,
      description: 'WebSocket: events that may be sent before a `credit` frame grants more. Default: no bound.'
    })
  ),
  batch: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: limits.batch_frame_events_max,
      description: 'WebSocket: events in one frame, at most. Default 1.'
    })
  ),
  statistics: Type.Optional(
    Type.Number({ minimum: 1, maximum: 3600, description: 'WebSocket: seconds between `statistics` frames.' })
  ),
  events: Type.Optional(
    Type.Enum(['typed'], {
      description:
        'SSE: `typed` names events by their type, for `addEventListener`. A type that is `open`, `error`, `message` or the name of a frame (`subscribed`, `closing` …) stays without a name: `onmessage` sees such events, as it does without `typed`.'
    })
  ),
  lastEventId: text(
    'Live: goes on after this cursor, whatever `from` and `after` say. For EventSource polyfills that cannot set the header `Last-Event-ID`; the header wins.'
  ),
  takeover: Type.Optional(
    Type.Boolean({ description: 'Live, as a named consumer: ends the connection that reads for it now.' })
  )
}
const consumer = text('Live: reads for this named consumer, from its place.')

export const StreamQuery = Type.Object(
  { ...bounds, ...eventFilters, ...around, ...liveParameters, consumer },
  { additionalProperties: false }
)
const logFilters = {
  stream: many('Of this stream; repeated: of any of these.'),
  'stream.prefix': many('Of a stream whose name begins so.'),
  'stream.regex': many('Of a stream in whose name an expression (RE2 syntax) finds something.'),
  'stream.not': many('Not of this stream.'),
  category: many('Of a stream of this category: the name up to its first `-`, or as the server is configured.'),
  system: Type.Optional(Type.Boolean({ description: '`true` shows events of system streams too. Default `false`.' })),
  truncated: Type.Optional(
    Type.Boolean({
      description: '`true` shows events that the metadata of their stream hides, too. Default `false`.'
    })
  )
}

/** The filters that the source of a named consumer may have. */
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
          'NDJSON that is not live: `true` shows `record` in each event, and removed events as lines with `stream`, `number`, `position`, `cursor`, `created` and `record`. Default `false`.'
      })
    ),
    ...liveParameters,
    consumer
  },
  { additionalProperties: false }
)
export type ReadQuery = Static<typeof EventsQuery>

/** The query of a read for a named consumer; its source has the filters. */
export const ConsumerQuery = Type.Object(
  { limit: bounds.limit, wait: around.wait, format: around.format, trailer: around.trailer, ...liveParameters },
  { additionalProperties: false }
)
export type ConsumerQuery = Static<typeof ConsumerQuery>

/** The stream that a path names. */
export const StreamParams = Type.Object({ stream: Type.String({ description: 'Percent-encoded once.' }) })
export type StreamParams = Static<typeof StreamParams>

/** Where one event stands: a number or position, or `head` for the last. */
export const EventPlace = Type.Union(
  [Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.Enum(['head'])],
  {
    description: 'From 0; `head` is the last.'
  }
)
export const EventQuery = Type.Object(
  { format: around.format, atLeast: around.atLeast, wait: around.wait, resolveLinks: around.resolveLinks },
  { additionalProperties: false }
)
export type EventQuery = Static<typeof EventQuery>

const link = Type.Optional(Type.String({ description: 'Path-absolute.' }))
export const Page = Type.Object(
  {
    stream: Type.Optional(Type.String()),
    events: Type.Array(ref(RecordedEvent)),
    cursor: Type.String({ description: 'Where this page got to, also when a filter matched nothing.' }),
    head: Type.Optional(
      Type.Union([Type.Integer(), Type.Null()], {
        description: "The stream's last number, the log's last position; on pages that reach the end."
      })
    ),
    atEnd: Type.Optional(Type.Boolean({ description: 'On pages that reach the end.' })),
    scanned: Type.Optional(
      Type.Object({ from: Type.Integer(), to: Type.Integer() }, { description: 'How far a filtered page has looked.' })
    ),
    links: Type.Object({
      self: Type.String(),
      next: link,
      newer: link,
      older: link,
      first: link,
      last: link,
      live: Type.Optional(
        Type.String({ description: 'The same address, live: goes on after this page over WebSocket, SSE and NDJSON.' })
      ),
      metadata: link
    })
  },
  { $id: 'Page', description: 'A page of events.' }
)

/** Describes the WebSocket, which OpenAPI cannot. */
export const overWebSocket =
  'With `Upgrade: websocket` (sub-protocol `daybook.v1`) the server sends a `ServerFrame` a message, and takes a `ClientFrame`. `subscribe` begins further live reads on the same socket; `/subscriptions` opens one without a read of its own.'

/** The forms of many events. */
export const manyEvents = {
  'application/json': { schema: ref(Page) },
  'application/x-ndjson': {
    schema: Type.String({ description: 'A recorded event a line; with `live=true` endless.' })
  },
  'text/event-stream': {
    schema: Type.String({
      description:
        'Each message has JSON in `data` and a cursor in `id`. The first is named `subscribed`, its data is a `Subscribed`; messages without a name are recorded events; `caughtUp`, `fellBehind`, `checkpoint` and `closing` are named. One that cannot be served now (503, 429) is a `closing` with the problem, and `retry`: an EventSource would not come back from another status.'
    })
  }
}

/**
 * The form of one event, under the name that asks for it alone. `*\/*` gives the same as `application/json`, but a client
 * that names `application/json` alone at a stream gets EventStoreDB's answer: the bare data.
 */
export const oneEvent = { 'application/vnd.daybook.event+json': { schema: ref(RecordedEvent) } }
