/** Bodies and responses of POST /tickets. */
import { type Static, Type } from 'typebox'
import { limits } from '../../src/limits.js'

export const NewTicket = Type.Object(
  {
    source: Type.String({
      description:
        'The address that the ticket opens: `/events` or `/streams/{stream}`, with filters after a `?`; or `/subscriptions`, a WebSocket for several subscriptions.'
    }),
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.ticket_seconds_max,
        description: `Seconds until the ticket expires. Connections that it opened stay open. Default ${limits.ticket_seconds_default}.`
      })
    )
  },
  { $id: 'NewTicket', additionalProperties: false }
)
export type NewTicket = Static<typeof NewTicket>

export const TicketMade = Type.Object(
  {
    ticket: Type.String({ description: 'The value for `?ticket=`, where no header can be set.' }),
    source: Type.String(),
    expires: Type.String({ format: 'date-time' }),
    links: Type.Object({ live: Type.String({ description: 'The address of the source, including the ticket.' }) })
  },
  { $id: 'TicketMade' }
)
