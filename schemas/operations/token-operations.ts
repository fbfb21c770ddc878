/** Operations on /tokens and /tickets. */
import { Type } from 'typebox'
import { NewTicket, TicketMade } from '../accounts/tickets.js'
import { NewToken, TokenList, TokenMade } from '../accounts/tokens.js'
import { jsonContent, jsonResponse, problemResponses } from './responses.js'

const tags = ['tokens']

export const tokenOperations = {
  create: {
    operationId: 'createToken',
    summary: 'Create an API token',
    description:
      'The token has the rights of its account, limited to the streams in `read` and `write`, and never the rights of an administrator.',
    tags,
    body: { content: jsonContent(NewToken) },
    response: {
      201: jsonResponse('The token. It is shown only once.', TokenMade),
      ...problemResponses([400, 409, 503])
    }
  },
  list: {
    operationId: 'listTokens',
    summary: "List the caller's API tokens; for administrators, the tokens of all accounts",
    tags,
    response: { 200: jsonResponse('The tokens, without their secrets.', TokenList) }
  },
  revoke: {
    operationId: 'revokeToken',
    summary: 'Revoke an API token',
    tags,
    params: Type.Object({ id: Type.String() }),
    response: {
      204: { type: 'null', description: 'Revoked. The token is no longer valid.' },
      ...problemResponses([404])
    }
  }
}

export const ticketOperations = {
  create: {
    operationId: 'createTicket',
    summary: 'Create a ticket for one source, for clients that cannot set headers',
    tags: ['tokens'],
    body: { content: jsonContent(NewTicket) },
    response: { 201: jsonResponse('The ticket.', TicketMade), ...problemResponses([400]) }
  }
}
