/** Named consumers and live subscriptions (native contract §7). */
import type { Static } from 'typebox'
import { DURATION_PATTERN } from '../src/time/duration.js'
import { LagShown } from './frames.js'
import { Type } from './type.js'

const number = (minimum: number, maximum: number, standard: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description: `${description} Default ${standard}.` }))

const settings = {
  readBatchSize: number(1, 4096, 500, 'Events per read from the log while catching up.'),
  bufferSize: number(1, 100_000, 500, 'Maximum number of events that are sent but not acknowledged.'),
  liveBufferSize: number(
    1,
    100_000,
    500,
    'Maximum number of new events that wait in memory for a slow reader. With more, the reader falls back to reading from the log.'
  ),
  checkpointAfterMilliseconds: number(
    1,
    3_600_000,
    1000,
    'Time after which a changed position is written to disk, in milliseconds.'
  ),
  maxCheckpointsPerEpoch: number(
    1,
    1000,
    10,
    'Maximum number of writes of the position within `checkpointAfterMilliseconds`. Further changes wait.'
  ),
  messageTimeoutMilliseconds: number(
    0,
    86_400_000,
    30_000,
    'Time without an acknowledgement after which the unacknowledged events are sent again, with `retryCount`. 0: never.'
  ),
  maxRetryCount: number(
    0,
    1000,
    10,
    'Number of times that unacknowledged events are sent again before the server ends the connection.'
  ),
  expiresAfter: Type.Optional(
    Type.String({
      pattern: DURATION_PATTERN,
      examples: ['P7D', 'PT1H'],
      description:
        'Time without a reader after which the consumer is marked `expired`. After twice this time it is removed. Default: never.'
    })
  )
}

export const NewConsumer = Type.Object(
  {
    source: Type.String({
      description:
        'The address that the consumer reads, with filters: `/events?type=ItemAdded`, `/streams/cart-1`, `/streams/$ce-cart`.'
    }),
    from: Type.Optional(
      Type.String({
        description: 'Where the consumer begins: a cursor, `start`, `end` or an instant. Default `start`.'
      })
    ),
    ...settings
  },
  { $id: 'ConsumerDefinition', additionalProperties: false, description: 'The definition of a consumer.' }
)
export type NewConsumer = Static<typeof NewConsumer>

const instant = (description: string) => Type.String({ format: 'date-time', description })

export const LiveSubscription = Type.Object(
  {
    id: Type.Integer(),
    transport: Type.Enum(['websocket', 'sse', 'ndjson']),
    client: Type.String({ description: 'IP address of the client.' }),
    source: Type.String(),
    since: instant('When the client connected.'),
    status: Type.Enum(['catching-up', 'live', 'complete']),
    cursor: Type.String({ description: 'All events up to this cursor were sent.' }),
    sent: Type.Integer(),
    buffered: Type.Integer(),
    inFlight: Type.Integer(),
    standsStill: Type.Optional(Type.String({ description: 'Why nothing is sent although events are waiting.' })),
    lag: LagShown
  },
  { $id: 'LiveSubscription', description: 'A connected live read.' }
)
export type LiveSubscription = Static<typeof LiveSubscription>

export const LastConnection = Type.Object(
  {
    transport: Type.Enum(['websocket', 'sse', 'ndjson']),
    client: Type.String({ description: 'IP address of the client.' }),
    since: instant('When the client connected.'),
    ended: instant('When the connection ended.'),
    by: Type.Enum(['server', 'client'], {
      description: 'Who ended the connection. `client`: the client closed it, or the connection broke.'
    }),
    code: Type.Optional(Type.String({ description: 'Code of the problem for which the server ended the connection.' })),
    detail: Type.String({ description: 'Why the connection ended.' })
  },
  {
    $id: 'LastConnection',
    description: 'The last connection that ended since the server started. Also present while another connection reads.'
  }
)
export type LastConnection = Static<typeof LastConnection>

export const ConsumerShown = Type.Object(
  {
    name: Type.String(),
    owner: Type.Optional(
      Type.String({ description: 'Login of the account that created it; absent if it was created without an account.' })
    ),
    source: Type.String(),
    from: Type.String(),
    state: Type.Enum(['connected', 'idle', 'expired'], {
      description:
        '`expired`: no client read for longer than `expiresAfter`. The consumer is removed at `removedAt` unless a client reads for it before.'
    }),
    cursor: Type.String({ description: 'Position of the consumer: all events up to here are acknowledged.' }),
    generation: Type.Integer(),
    lag: LagShown,
    active: instant('When somebody last read or acknowledged.'),
    removedAt: Type.Optional(
      instant(
        'When the consumer is removed, unless a client reads for it before. Assumes that the server runs until then.'
      )
    ),
    standsStill: Type.Optional(
      Type.String({ description: 'Why the consumer makes no progress although there are more events.' })
    ),
    moved: Type.Optional(
      Type.Object(
        {
          from: Type.String({ description: 'The cursor before the move.' }),
          to: Type.String({
            description: 'The cursor after the move: the last one that is certain to be in this log.'
          }),
          reason: Type.String(),
          at: instant('When the loss was noticed.')
        },
        {
          description:
            'Present after the server moved the consumer back, because the log lost its last events or was restored from a backup. A reset removes this member.'
        }
      )
    ),
    settings: Type.Object(settings),
    connection: Type.Optional(LiveSubscription),
    lastConnection: Type.Optional(LastConnection),
    links: Type.Object({ self: Type.String(), events: Type.String(), ack: Type.String(), reset: Type.String() })
  },
  { $id: 'Consumer', description: 'A consumer: its definition, its position and its connection.' }
)
export type ConsumerShown = Static<typeof ConsumerShown>

export const ConsumerList = Type.Object(
  {
    consumers: Type.Array(ConsumerShown),
    subscriptions: Type.Array(LiveSubscription, { description: 'Connected live reads without a named consumer.' })
  },
  { $id: 'ConsumerList' }
)
export type ConsumerList = Static<typeof ConsumerList>

const cursor = Type.Union([Type.String(), Type.Integer({ minimum: -1 })], {
  description: 'All events up to and including this cursor are acknowledged.'
})

export const Acknowledgement = Type.Object(
  {
    cursor,
    generation: Type.Integer({ minimum: 0, description: 'The generation that the page or connection reported.' })
  },
  { $id: 'Acknowledgement', additionalProperties: false }
)
export type Acknowledgement = Static<typeof Acknowledgement>

export const Acknowledged = Type.Object(
  { cursor: Type.String({ description: 'The new position, stored on disk.' }), generation: Type.Integer() },
  { $id: 'Acknowledged' }
)

export const ConsumerReset = Type.Object(
  {
    to: Type.Union([Type.String(), Type.Integer({ minimum: -1 })], {
      description:
        'The new position: a cursor (events after it follow), an instant (events at or after it follow), `start` or `end`.'
    })
  },
  { $id: 'ConsumerReset', additionalProperties: false }
)
export type ConsumerReset = Static<typeof ConsumerReset>
