/** Named consumers and other live readers (native contract §7). */
import { type Static, Type } from 'typebox'
import { DURATION_PATTERN } from '../src/time/duration.js'
import { LagShown } from './frames.js'

const number = (minimum: number, maximum: number, standard: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum, description: `${description} Default ${standard}.` }))

const settings = {
  readBatchSize: number(1, 4096, 500, 'Events read from the log at once while catching up.'),
  bufferSize: number(1, 100_000, 500, 'Events that may be sent and not acknowledged.'),
  liveBufferSize: number(1, 100_000, 500, 'New events that may wait for the reader before it goes back to the log.'),
  checkpointAfterMilliseconds: number(1, 3_600_000, 1000, 'A place that moved is on disk after this time.'),
  maxCheckpointsPerEpoch: number(1, 1000, 10, 'In that time it is written so often at most; what comes after waits.'),
  messageTimeoutMilliseconds: number(
    0,
    86_400_000,
    30_000,
    'When nothing was acknowledged for so long, what was sent is sent again, with `retryCount`. 0: never.'
  ),
  maxRetryCount: number(0, 1000, 10, 'Sent again so often, the connection is ended.'),
  expiresAfter: Type.Optional(
    Type.String({
      pattern: DURATION_PATTERN,
      examples: ['P7D', 'PT1H'],
      description: 'Nobody read for so long: it is marked `expired`; for twice as long: it is removed. Default: never.'
    })
  )
}

export const NewConsumer = Type.Object(
  {
    source: Type.String({
      description: 'What it reads, as an address: `/events?type=ItemAdded`, `/streams/cart-1`, `/streams/$ce-cart`.'
    }),
    from: Type.Optional(
      Type.String({ description: 'Where it begins: a cursor, `start`, `end` or an instant. Default `start`.' })
    ),
    ...settings
  },
  { $id: 'ConsumerDefinition', additionalProperties: false, description: 'What a consumer is.' }
)
export type NewConsumer = Static<typeof NewConsumer>

const instant = (description: string) => Type.String({ format: 'date-time', description })

export const LiveSubscription = Type.Object(
  {
    id: Type.Integer(),
    transport: Type.Enum(['websocket', 'sse', 'ndjson']),
    client: Type.String({ description: 'Its address.' }),
    source: Type.String(),
    since: instant('When it connected.'),
    status: Type.Enum(['catching-up', 'live', 'complete']),
    cursor: Type.String({ description: 'Everything up to here was sent to it.' }),
    sent: Type.Integer(),
    buffered: Type.Integer(),
    inFlight: Type.Integer(),
    standsStill: Type.Optional(Type.String({ description: 'Why nothing is sent though something waits.' })),
    lag: LagShown
  },
  { $id: 'LiveSubscription', description: 'Somebody who reads live.' }
)
export type LiveSubscription = Static<typeof LiveSubscription>

export const LastConnection = Type.Object(
  {
    transport: Type.Enum(['websocket', 'sse', 'ndjson']),
    client: Type.String({ description: 'Its address.' }),
    since: instant('When it connected.'),
    ended: instant('When it ended.'),
    by: Type.Enum(['server', 'client'], {
      description: '`client`: it closed the connection, or the connection broke.'
    }),
    code: Type.Optional(Type.String({ description: 'The code of the problem with which the server ended it.' })),
    detail: Type.String({ description: 'Why it ended.' })
  },
  {
    $id: 'LastConnection',
    description: 'The last connection that has ended, since the server started; it stays while another one reads.'
  }
)
export type LastConnection = Static<typeof LastConnection>

export const ConsumerShown = Type.Object(
  {
    name: Type.String(),
    owner: Type.Optional(Type.String({ description: 'Login of who made it; absent: somebody without an account.' })),
    source: Type.String(),
    from: Type.String(),
    state: Type.Enum(['connected', 'idle', 'expired'], {
      description: '`expired`: nobody read for longer than `expiresAfter`; it is removed when nobody comes.'
    }),
    cursor: Type.String({ description: 'Everything up to here was dealt with.' }),
    generation: Type.Integer(),
    lag: LagShown,
    active: instant('When somebody last read or acknowledged.'),
    removedAt: Type.Optional(
      instant('When the consumer is removed, if nobody reads for it and the server runs until then.')
    ),
    standsStill: Type.Optional(Type.String({ description: 'Why it does not go on though there is more.' })),
    moved: Type.Optional(
      Type.Object(
        {
          from: Type.String({ description: 'The cursor that it had.' }),
          to: Type.String({
            description: 'The cursor that it was put back to: the last one that is certain to be in this log.'
          }),
          reason: Type.String(),
          at: instant('When the loss was noticed.')
        },
        {
          description:
            'The consumer was put back because the log has lost its end or was restored. A reset removes this member.'
        }
      )
    ),
    settings: Type.Object(settings),
    connection: Type.Optional(LiveSubscription),
    lastConnection: Type.Optional(LastConnection),
    links: Type.Object({ self: Type.String(), events: Type.String(), ack: Type.String(), reset: Type.String() })
  },
  { $id: 'Consumer', description: 'A consumer, how far it is, and who reads for it.' }
)
export type ConsumerShown = Static<typeof ConsumerShown>

export const ConsumerList = Type.Object(
  {
    consumers: Type.Array(ConsumerShown),
    subscriptions: Type.Array(LiveSubscription, { description: 'Who reads live without a name, while connected.' })
  },
  { $id: 'ConsumerList' }
)
export type ConsumerList = Static<typeof ConsumerList>

const cursor = Type.Union([Type.String(), Type.Integer({ minimum: -1 })], {
  description: 'Everything up to here, it included.'
})

export const Acknowledgement = Type.Object(
  { cursor, generation: Type.Integer({ minimum: 0, description: 'As the page or the connection said it.' }) },
  { $id: 'Acknowledgement', additionalProperties: false }
)
export type Acknowledgement = Static<typeof Acknowledgement>

export const Acknowledged = Type.Object(
  { cursor: Type.String({ description: 'The place, on disk.' }), generation: Type.Integer() },
  { $id: 'Acknowledged' }
)

export const ConsumerReset = Type.Object(
  {
    to: Type.Union([Type.String(), Type.Integer({ minimum: -1 })], {
      description: 'A cursor, after which it goes on; an instant, at which it goes on; `start` or `end`.'
    })
  },
  { $id: 'ConsumerReset', additionalProperties: false }
)
export type ConsumerReset = Static<typeof ConsumerReset>
