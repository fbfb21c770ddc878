/** The general part of openapi.yaml. Its operations come from the routes, and its schemas from schemas/. */
import type { SwaggerOptions } from '@fastify/swagger'
import { NewTicket, TicketMade } from '../../schemas/accounts/tickets.js'
import { NewToken, TokenList, TokenMade, TokenShown } from '../../schemas/accounts/tokens.js'
import {
  ChangedUser,
  NewUser,
  PasswordChange,
  PasswordReset,
  UserAnswer,
  UserList,
  UserResult,
  UserShown
} from '../../schemas/accounts/users.js'
import { AppendCondition, AppendResult, EventsAppendBody, Receipt } from '../../schemas/append.js'
import { AtomEntry, AtomFeed } from '../../schemas/atom.js'
import {
  Acknowledged,
  Acknowledgement,
  ConsumerList,
  ConsumerReset,
  ConsumerShown,
  LastConnection,
  LiveSubscription,
  NewConsumer
} from '../../schemas/consumers.js'
import { NewEvent, NewEventOfStream, RecordedEvent, RecordMark } from '../../schemas/events.js'
import { ClientFrame, ServerFrame, Subscribed } from '../../schemas/frames.js'
import { CategoryList, StreamList, TypeList } from '../../schemas/listings.js'
import { MetadataWritten, StreamMetadata } from '../../schemas/metadata.js'
import { problemResponses } from '../../schemas/operations/responses.js'
import { Problem } from '../../schemas/problem-document.js'
import { Page } from '../../schemas/read.js'
import { Health, Info } from '../../schemas/server.js'

/** The named schemas of the contract. */
export const namedSchemas = [
  NewEvent, NewEventOfStream, RecordedEvent, RecordMark, Page,
  AppendCondition, EventsAppendBody, AppendResult, Receipt,
  StreamList, CategoryList, TypeList, Info, Health, Problem,
  StreamMetadata, MetadataWritten, AtomFeed, AtomEntry,
  NewConsumer, ConsumerShown, ConsumerList, LiveSubscription, LastConnection, Acknowledgement, Acknowledged, ConsumerReset,
  Subscribed, ServerFrame, ClientFrame,
  UserShown, UserAnswer, UserList, UserResult, NewUser, ChangedUser, PasswordReset, PasswordChange,
  NewToken, TokenShown, TokenList, TokenMade, NewTicket, TicketMade
] // biome-ignore format: a table

/** Security of operations that require an account and do not accept a ticket. */
const SIGNED_IN: Record<string, string[]>[] = [{ basic: [] }, { bearer: [] }]

export function openApi(version: string): SwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Daybook',
        version,
        description: 'An event store you can curl: streams of events over plain HTTP/JSON.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' }
      },
      servers: [{ url: 'http://127.0.0.1:2113', description: 'A server on this machine, with its default settings.' }],
      tags: [
        { name: 'streams', description: 'Single streams: read, append, delete, metadata.' },
        { name: 'events', description: 'The whole log, in order.' },
        {
          name: 'atom',
          description: "EventStoreDB's HTTP API, with the same addresses, headers and documents as the original."
        },
        { name: 'consumers', description: 'Named consumers, their positions, and live reads.' },
        { name: 'users', description: 'Accounts.' },
        { name: 'tokens', description: 'API tokens, and tickets for browsers.' },
        { name: 'listings', description: 'Listings of streams, categories and event types.' },
        { name: 'server', description: 'Information about the server, its health and its metrics.' }
      ],
      components: {
        securitySchemes: {
          basic: { type: 'http', scheme: 'basic' },
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API token, or a token from the identity provider.'
          },
          ticket: {
            type: 'apiKey',
            in: 'query',
            name: 'ticket',
            description: 'A ticket from POST /tickets, for reads by clients that cannot set headers.'
          }
        }
      },
      security: [{}, { basic: [] }, { bearer: [] }, { ticket: [] }]
    },
    transform: ({ schema, url, route: { config } }) => {
      const { access } = config ?? {}
      if (access === 'anyone') return { schema: { security: [{}], ...schema }, url }
      // Responses of the hooks that run before every route.
      const response = { ...problemResponses([401, 403, 429, 503]), ...(schema?.response as object) }
      const open = access === 'reader' || access === 'writer' // these need no account if the server allows anonymous access
      const security = typeof access === 'string' && !open ? { security: SIGNED_IN } : {}
      return { schema: { ...security, ...schema, response }, url }
    },
    refResolver: {
      buildLocalReference: (json, _base, _fragment, i) => (typeof json.$id === 'string' ? json.$id : `def-${i}`)
    }
  }
}
