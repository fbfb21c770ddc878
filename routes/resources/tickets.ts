/** /tickets: what a browser puts into an address where it can set no header. */
import type { FastifyInstance } from 'fastify'
import { problemResponses } from '../../schemas/problem.js'
import { ref } from '../../schemas/ref.js'
import { NewTicket, TicketMade } from '../../schemas/users.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import { askingOf, checkReadable } from '../auth/rechecks.js'
import { compileShape } from '../wire/problems/shape.js'
import { liveQueryOf } from '../wire/reading/read-request.js'
import { bodyOf, objectOf } from '../wire/writing/body.js'
import { parseSource } from '../wire/writing/consumer-body.js'

const checkTicket = compileShape<NewTicket>(NewTicket)

export function ticketRoutes(app: FastifyInstance, store: Store): void {
  app.post(
    '/tickets',
    {
      config: { access: 'signedIn', bodyMax: limits.small_body_bytes_max },
      schema: {
        operationId: 'createTicket',
        summary: 'Ask for a ticket that opens one source where no header can be set',
        tags: ['tokens'],
        body: { content: { 'application/json': { schema: ref(NewTicket) } } },
        response: {
          201: { description: 'The ticket.', content: { 'application/json': { schema: ref(TicketMade) } } },
          ...problemResponses(400)
        }
      }
    },
    async (request, reply) => {
      const asked = checkTicket(
        objectOf(await bodyOf(request)),
        (why, where) => new DaybookError('invalid-body', why, where)
      )
      const { address, query } = parseSource(asked.source)
      await checkReadable(store, request.principal, address)
      const { source } = liveQueryOf(address, query, askingOf(store, request))
      const seconds = asked.seconds ?? limits.ticket_seconds_default
      const { ticket, expires } = store.tickets.issue(request.principal, source, seconds)
      reply.code(201).header('cache-control', 'no-store')
      const live = `${source}${source.includes('?') ? '&' : '?'}ticket=${ticket}`
      return { ticket, source, expires: new Date(expires).toISOString(), links: { live } }
    }
  )
}
