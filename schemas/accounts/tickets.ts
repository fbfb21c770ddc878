/** Tickets for browsers: what is asked for, and what is given. */
import { type Static, Type } from 'typebox'
import { limits } from '../../src/limits.js'

export const NewTicket = Type.Object(
  {
    source: Type.String({
      description:
        'What it opens: /events or /streams/{stream}, with filters after a `?`; or /subscriptions, a WebSocket for several.'
    }),
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.ticket_seconds_max,
        description: `How long it can be used; what it has opened stays open. Default ${limits.ticket_seconds_default}.`
      })
    )
  },
  { $id: 'NewTicket', additionalProperties: false }
)
export type NewTicket = Static<typeof NewTicket>

export const TicketMade = Type.Object(
  {
    ticket: Type.String({ description: 'For `?ticket=` where headers cannot be set.' }),
    source: Type.String(),
    expires: Type.String({ format: 'date-time' }),
    links: Type.Object({ live: Type.String({ description: 'The source with the ticket in its address.' }) })
  },
  { $id: 'TicketMade' }
)
