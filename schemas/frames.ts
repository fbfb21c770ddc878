/** WebSocket frames of live subscriptions (native contract §5). Each is a JSON object; `frame` names its kind. */
import type { Static, TProperties } from 'typebox'
import { limits } from '../src/limits.js'
import { RecordedEvent } from './events.js'
import { ref, Type } from './type.js'

const Cursor = Type.String({ description: 'Send it as `after` to continue from here.' })

const Sub = Type.Optional(
  Type.String({
    description: "The client's name for the subscription. Absent for the subscription that the socket was opened with."
  })
)

/** A server frame. It carries `sub` if it belongs to a subscription that the client began with a `subscribe` frame. */
function frame<Name extends string, P extends TProperties>(name: Name, description: string, members: P) {
  return Type.Object({ frame: Type.Enum([name]), sub: Sub, ...members }, { description })
}

export const ConsumerAttached = Type.Object(
  {
    name: Type.String(),
    generation: Type.Integer({
      description: 'Send it with every acknowledgement. Acknowledgements of an older generation are refused.'
    })
  },
  { description: 'The named consumer of this subscription.' }
)

export const LagShown = Type.Object({
  events: Type.Integer({
    description:
      'Number of events between the position and the end of the source, including events that no filter matches.'
  }),
  seconds: Type.Number({ description: 'Age of the first of these events in seconds; 0 when there is none.' })
})

const subscribed = {
  stream: Type.Optional(Type.String()),
  from: Type.String({ description: 'The events that follow are at or after this cursor.' }),
  cursor: Cursor,
  head: Type.Union([Type.Integer(), Type.Null()]),
  log: Type.String({ description: 'Identity of the log. Cursors of another log are not valid here.' }),
  consumer: Type.Optional(ConsumerAttached)
}

export const Subscribed = Type.Object(subscribed, {
  $id: 'Subscribed',
  description:
    'Sent before any event of a live read: the `data` of the first SSE block, or the members of the first WebSocket frame.'
})
export type Subscribed = Static<typeof Subscribed>

export const ServerFrame = Type.Union(
  [
    frame('subscribed', 'The first frame of a subscription.', subscribed),
    frame('event', 'One event.', { cursor: Cursor, event: ref(RecordedEvent) }),
    frame('events', 'Several events while catching up. Only sent if `batch` was requested.', {
      cursor: Cursor,
      events: Type.Array(ref(RecordedEvent))
    }),
    frame('caughtUp', 'All existing events were sent. From here on events are sent as they are committed.', {
      cursor: Cursor
    }),
    frame(
      'fellBehind',
      'The client receives events more slowly than new events arrive. The next events are read from the log again.',
      {
        cursor: Cursor
      }
    ),
    frame('checkpoint', 'Progress of a filtered read: all events up to here were checked against the filter.', {
      cursor: Cursor
    }),
    frame('acked', 'The position of the consumer, stored on disk.', { cursor: Cursor }),
    frame('statistics', 'Statistics of the subscription. Only sent if `statistics` was requested.', {
      cursor: Cursor,
      status: Type.String(),
      sent: Type.Integer(),
      buffered: Type.Integer(),
      inFlight: Type.Integer(),
      credit: Type.Union([Type.Integer(), Type.Null()], {
        description: 'Events that may still be sent. `null`: unlimited.'
      }),
      lag: LagShown
    }),
    frame('error', 'The server refused a frame of the client. The subscription continues.', {
      code: Type.String(),
      title: Type.String(),
      detail: Type.String()
    }),
    Type.Object(
      {
        frame: Type.Enum(['ended']),
        sub: Type.String(),
        code: Type.String(),
        title: Type.String(),
        detail: Type.String(),
        status: Type.Integer(),
        cursor: Type.Optional(Cursor)
      },
      {
        description:
          'A subscription ended, or was refused (then without `cursor`). The other members are those of the problem. The socket stays open, and the name can be used again.'
      }
    ),
    Type.Object(
      {
        frame: Type.Enum(['closing']),
        code: Type.String(),
        title: Type.String(),
        detail: Type.String(),
        cursor: Type.Optional(Cursor)
      },
      {
        description:
          'The last frame: why the socket closes, and the cursor to continue from. A socket that was opened without a read gets no `cursor`.'
      }
    )
  ],
  { $id: 'ServerFrame', description: 'A WebSocket frame from the server. Clients must ignore unknown frames.' }
)

/** Names of the server's frames, and names that the contract reserves for later frames. */
export const serverFrameNames: readonly string[] = [
  ...ServerFrame.anyOf.flatMap(({ properties }) => properties.frame.enum),
  'appended',
  'refused'
]

export const AckFrame = Type.Object(
  { frame: Type.Enum(['ack']), sub: Sub, cursor: Cursor },
  { additionalProperties: false, description: 'Acknowledges all events up to this cursor (named consumers only).' }
)
export type AckFrame = Static<typeof AckFrame>

const Events = Type.Integer({ minimum: 1, maximum: limits.credit_max })

export const CreditFrame = Type.Object(
  { frame: Type.Enum(['credit']), sub: Sub, events: Events },
  { additionalProperties: false, description: 'Allows the server to send this many more events.' }
)
export type CreditFrame = Static<typeof CreditFrame>

const NewSub = Type.String({ minLength: 1, maxLength: limits.sub_chars_max, description: 'A name of your choice.' })

export const SubscribeFrame = Type.Object(
  {
    frame: Type.Enum(['subscribe']),
    sub: NewSub,
    source: Type.String({
      description: 'The address of a live read, with its query: `/streams/x?after=7`, `/consumers/c/events`.'
    }),
    credit: Type.Optional(Events)
  },
  {
    additionalProperties: false,
    description: 'Begins another subscription on this socket. The server answers with `subscribed` or `ended`.'
  }
)
export type SubscribeFrame = Static<typeof SubscribeFrame>

export const UnsubscribeFrame = Type.Object(
  { frame: Type.Enum(['unsubscribe']), sub: Type.String() },
  {
    additionalProperties: false,
    description: 'Ends a subscription that `subscribe` began. The server answers with `ended`.'
  }
)
export type UnsubscribeFrame = Static<typeof UnsubscribeFrame>

export const ClientFrame = Type.Union([AckFrame, CreditFrame, SubscribeFrame, UnsubscribeFrame], {
  $id: 'ClientFrame',
  description: 'A WebSocket frame from the client.'
})
