/** Operations on /tokens and /tickets. */
import { Type } from 'typebox'
import { NewTicket, TicketMade } from '../accounts/tickets.js'
import { NewToken, TokenList, TokenMade } from '../accounts/tokens.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['tokens']

export const tokenOperations = {
  create: {
    operationId: 'createToken',
    summary: 'Make an API token',
    description: 'It may do what its account may, within the streams that it names; never administration.',
    tags,
    body: { content: jsonContent(NewToken) },
    response: { 201: jsonResponse('The token, this once.', TokenMade), ...problemResponses([400, 409, 503]) }
  },
  list: {
    operationId: 'listTokens',
    summary: "One's own API tokens; for administrators, everybody's",
    tags,
    response: { 200: jsonResponse('Without their secrets.', TokenList) }
  },
  revoke: {
    operationId: 'revokeToken',
    summary: 'Revoke an API token',
    tags,
    params: Type.Object({ id: Type.String() }),
    response: { 204: { type: 'null', description: 'Nobody gets in with it.' }, ...problemResponses([404]) }
  }
}

export const ticketOperations = {
  create: {
    operationId: 'createTicket',
    summary: 'Ask for a ticket that opens one source where no header can be set',
    tags: ['tokens'],
    body: { content: jsonContent(NewTicket) },
    response: { 201: jsonResponse('The ticket.', TicketMade), ...problemResponses([400]) }
  }
}
