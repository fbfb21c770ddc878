/** Frames of a live subscription over WebSocket (native contract §5): one JSON object each, `frame` says which. */
import { type Static, type TProperties, Type } from 'typebox'
import { limits } from '../src/limits.js'
import { RecordedEvent } from './events.js'
import { ref } from './ref.js'

const Cursor = Type.String({ description: 'Hand it back as `after` to go on from here.' })

const Sub = Type.Optional(
  Type.String({ description: "The client's name for the subscription; left out for the socket's own." })
)

/** A frame that one of several subscriptions on a socket sends with `sub`. */
function frame<Name extends string, P extends TProperties>(name: Name, description: string, members: P) {
  return Type.Object({ frame: Type.Enum([name]), sub: Sub, ...members }, { description })
}

export const ConsumerAttached = Type.Object(
  {
    name: Type.String(),
    generation: Type.Integer({ description: 'Stands in every acknowledgement; an older one moves nothing.' })
  },
  { description: 'The named consumer that this is.' }
)

export const LagShown = Type.Object({
  events: Type.Integer({ description: 'Between the place and the end of the source, matched by a filter or not.' }),
  seconds: Type.Number({ description: 'Since the first of them was committed; 0 when there is none.' })
})

const subscribed = {
  stream: Type.Optional(Type.String()),
  from: Type.String({ description: 'What comes is at or after this.' }),
  cursor: Cursor,
  head: Type.Union([Type.Integer(), Type.Null()]),
  log: Type.String({ description: 'Identity of the log: a cursor of another one means nothing here.' }),
  consumer: Type.Optional(ConsumerAttached)
}

export const Subscribed = Type.Object(subscribed, {
  $id: 'Subscribed',
  description:
    'What a live reader is told before any event: the `data` of the first block of an event stream, and the members of the first frame of a WebSocket.'
})
export type Subscribed = Static<typeof Subscribed>

export const ServerFrame = Type.Union(
  [
    frame('subscribed', 'The first frame of a subscription.', subscribed),
    frame('event', 'One event.', { cursor: Cursor, event: ref(RecordedEvent) }),
    frame('events', 'Several events while catching up, when `batch` asked for it.', {
      cursor: Cursor,
      events: Type.Array(ref(RecordedEvent))
    }),
    frame('caughtUp', 'From here on events come as they are committed.', { cursor: Cursor }),
    frame('fellBehind', 'They came faster than they were taken; what follows is read from the log again.', {
      cursor: Cursor
    }),
    frame('checkpoint', 'Everything up to here was considered, matched by the filter or not.', { cursor: Cursor }),
    frame('acked', 'The place of the consumer, durable.', { cursor: Cursor }),
    frame('statistics', 'When `statistics` asked for it.', {
      cursor: Cursor,
      status: Type.String(),
      sent: Type.Integer(),
      buffered: Type.Integer(),
      inFlight: Type.Integer(),
      credit: Type.Union([Type.Integer(), Type.Null()], { description: '`null`: as much as the connection takes.' }),
      lag: LagShown
    }),
    frame('error', 'A frame of the client was refused; the subscription goes on.', {
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
          'A subscription has ended, or was refused (then without `cursor`), with the members of the problem. The socket stays, and the name is free.'
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
          'The last frame: why, and where to go on; without `cursor` on a socket that has no subscription of its own.'
      }
    )
  ],
  { $id: 'ServerFrame', description: 'What the server sends over a WebSocket. Ignore frames that you do not know.' }
)

/** Names of the server's frames, and those that the contract keeps for later ones. */
export const serverFrameNames: readonly string[] = [
  ...ServerFrame.anyOf.flatMap(({ properties }) => properties.frame.enum),
  'appended',
  'refused'
]

export const AckFrame = Type.Object(
  { frame: Type.Enum(['ack']), sub: Sub, cursor: Cursor },
  { additionalProperties: false, description: 'Everything up to here was dealt with (named consumers).' }
)
export type AckFrame = Static<typeof AckFrame>

const Events = Type.Integer({ minimum: 1, maximum: limits.credit_max })

export const CreditFrame = Type.Object(
  { frame: Type.Enum(['credit']), sub: Sub, events: Events },
  { additionalProperties: false, description: 'So many more events may be sent.' }
)
export type CreditFrame = Static<typeof CreditFrame>

const NewSub = Type.String({ minLength: 1, maxLength: limits.sub_chars_max, description: 'A name of your choice.' })

export const SubscribeFrame = Type.Object(
  {
    frame: Type.Enum(['subscribe']),
    sub: NewSub,
    source: Type.String({
      description: 'A live address of this server, with its query: `/streams/x?after=7`, `/consumers/c/events`.'
    }),
    credit: Type.Optional(Events)
  },
  { additionalProperties: false, description: 'One more subscription on this socket; `subscribed` or `ended` answers.' }
)
export type SubscribeFrame = Static<typeof SubscribeFrame>

export const UnsubscribeFrame = Type.Object(
  { frame: Type.Enum(['unsubscribe']), sub: Type.String() },
  { additionalProperties: false, description: 'Ends one that `subscribe` began; `ended` answers.' }
)
export type UnsubscribeFrame = Static<typeof UnsubscribeFrame>

export const ClientFrame = Type.Union([AckFrame, CreditFrame, SubscribeFrame, UnsubscribeFrame], {
  $id: 'ClientFrame',
  description: 'What a client sends over a WebSocket.'
})
