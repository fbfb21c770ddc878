/** /tickets: short-lived credentials in URLs, for browsers that cannot set headers. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NewTicket } from '../../schemas/accounts/tickets.js'
import { ticketOperations } from '../../schemas/operations/token-operations.js'
import { limits } from '../../src/limits.js'
import type { Tickets } from '../../src/users/tickets.js'
import { type ContextParts, checkReadable, readContextOf } from '../auth/caller-rights.js'
import { SOCKET_SOURCE } from '../live/websocket/socket-readers.js'
import { compileShape } from '../wire/problems/shape.js'
import { liveQueryOf } from '../wire/reading/read-request.js'
import { invalidBody, parseJsonObject } from '../wire/writing/body.js'
import { parseSource } from '../wire/writing/consumer-body.js'
import { bodyOf } from '../writing/received-body.js'

/** The parts of the store that the route of tickets uses. Read per request: the store may still be opening. */
export interface TicketRouteParts extends ContextParts {
  readonly tickets: Tickets
}

const config = { access: 'signedIn', bodyMax: limits.small_body_bytes_max } as const

export function ticketRoutes(app: FastifyInstance, parts: TicketRouteParts): void {
  const { create } = ticketOperations
  app.post('/tickets', { config, schema: create }, (request, reply) => createTicket(parts, request, reply))
}

const checkTicket = compileShape<NewTicket>(NewTicket)

async function createTicket(parts: TicketRouteParts, request: FastifyRequest, reply: FastifyReply): Promise<object> {
  const newTicket = checkTicket(parseJsonObject(await bodyOf(request)), invalidBody)
  const source = await canonicalSource(parts, request, newTicket.source)
  const seconds = newTicket.seconds ?? limits.ticket_seconds_default
  const { ticket, expires } = parts.tickets.issue(request.principal, source, seconds)
  reply.code(201).header('cache-control', 'no-store')
  const live = `${request.prefix}${source}${source.includes('?') ? '&' : '?'}ticket=${ticket}`
  return { ticket, source, expires: new Date(expires).toISOString(), links: { live } }
}

/** Returns the source of a ticket in canonical form. @throws as parseSource, checkReadable and liveQueryOf */
async function canonicalSource(parts: TicketRouteParts, request: FastifyRequest, requested: string): Promise<string> {
  // The rights are checked for each subscription on such a socket.
  if (requested === SOCKET_SOURCE || requested === request.prefix + SOCKET_SOURCE) return SOCKET_SOURCE
  const { address, query } = parseSource(requested, request.prefix)
  await checkReadable(parts, request.principal, address)
  return liveQueryOf(address, query, readContextOf(parts, request)).source
}
