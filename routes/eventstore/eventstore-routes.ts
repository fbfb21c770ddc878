/**
 * Routes that only the Atom dialect has (reference 4): pages by path, metadata by number, appends with an id in the
 * path, and stream names with a trailing slash.
 */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AtomEntry, AtomFeed } from '../../schemas/atom.js'
import { ref, Type } from '../../schemas/type.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { isMetastream, metastreamOf } from '../../src/streams/names.js'
import { ofStream } from '../auth/authorization.js'
import type { AtomDialect } from './atom-dialect.js'
import { negotiates, offers } from './wire/codecs.js'
import type { PagePath } from './wire/page-path.js'
import { badRequest } from './wire/refusal.js'
import { sendAsIs } from './wire/send.js'
import { negotiateWrite } from './writes.js'

interface RouteDescription {
  readonly config: FastifyContextConfig
  readonly schema: object
}

interface AtomRoute extends RouteDescription {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly answer: (atom: AtomDialect, request: FastifyRequest, reply: FastifyReply) => unknown
}

const text = Type.String()

const inDialect = () => true
const form = { dialect: inDialect, negotiate: negotiates(offers.feed) }
const READ: FastifyContextConfig = { access: ofStream('read'), ...form }
const READ_METADATA: FastifyContextConfig = { access: ofStream('readMetadata'), ...form }

const INCOMING: RouteDescription = {
  config: {
    access: ofStream('write'),
    dialect: inDialect,
    negotiate: (request: FastifyRequest) => negotiateWrite(request, offers.incoming)
  },
  schema: {
    operationId: 'appendWithId',
    summary: 'Append one event, with its id in the path',
    tags: ['atom'],
    response: { 201: { type: 'null', description: 'The event is on disk.' } }
  }
}

const ROUTES: readonly AtomRoute[] = [
  {
    method: 'GET',
    url: '/streams/:stream/:from/:count',
    ...feedSchema('readAtomPage', 'A page backward', READ),
    answer: pageBackward
  },
  {
    method: 'GET',
    url: '/streams/:stream/:from/:direction/:count',
    ...feedSchema('readAtomPageTowards', 'A page', READ),
    answer: pageTowards
  },
  {
    method: 'GET',
    url: '/streams/:stream/filtered',
    ...feedSchema('readFilteredLog', 'The filtered log', READ),
    answer: filteredLog
  },
  {
    method: 'GET',
    url: '/streams/:stream/filtered/:from/:direction/:count',
    ...feedSchema('readFilteredPage', 'A page of the filtered log', READ),
    answer: filteredPage
  },
  {
    method: 'GET',
    url: '/streams/:stream/metadata/:number',
    ...entrySchema('getMetadataEvent'),
    answer: metadataEvent
  },
  {
    method: 'GET',
    url: '/streams/:stream/metadata/:from/:count',
    ...feedSchema('readMetadataPage', 'A page of metadata backward', READ_METADATA),
    answer: metadataBackward
  },
  {
    method: 'GET',
    url: '/streams/:stream/metadata/:from/:direction/:count',
    ...feedSchema('readMetadataPageTowards', 'A page of metadata', READ_METADATA),
    answer: metadataTowards
  },
  { method: 'POST', url: '/streams/:stream/incoming/:id', ...INCOMING, answer: appendWithId },
  { method: 'GET', url: '/streams/:stream/incoming/:id', config: READ, schema: { hide: true }, answer: pageOfIncoming }
]

/** The headers of a proxy on which a redirect depends. */
const FORWARDED = 'X-Forwarded-Host, X-Forwarded-Port, X-Forwarded-Prefix, X-Forwarded-Proto'

/** Paths with a trailing slash, which redirect to the path without it. */
const WITH_SLASH = [
  ['/streams/:stream/', ['GET', 'POST', 'DELETE']],
  ['/streams/:stream/metadata/', ['GET', 'POST']]
] as const

export function atomRoutes(app: FastifyInstance, atom: AtomDialect): void {
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    // A trailing slash makes the last parameter empty. There is no resource at such a path.
    if (Object.values(paramsOf(request)).includes('')) reply.callNotFound()
    else done()
  })
  for (const { answer, ...route } of ROUTES) {
    app.route({ ...route, handler: (request, reply) => answer(atom, request, reply) })
  }
  for (const [url, method] of WITH_SLASH) {
    app.route({
      method: [...method],
      url,
      config: { access: 'anyone', ignoresBody: true },
      schema: { hide: true },
      handler: (request, reply) => redirectWithoutSlash(atom, request, reply)
    })
  }
}

interface Params {
  stream: string
  from: string
  direction: string
  count: string
  number: string
  id: string
}

function paramsOf(request: FastifyRequest): Params {
  return request.params as Params
}

function pageBackward(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream, from, count } = paramsOf(request)
  return atom.feed(request, reply, stream, { direction: 'backward', from, count })
}

function pageTowards(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): unknown {
  const { stream, from, direction, count } = paramsOf(request)
  if (stream === '$all' && from === 'filtered') {
    return atom.logFeed.feed(request, reply, { direction: 'backward', from: direction, count }, true)
  }
  if (!isDirection(direction)) return reply.callNotFound()
  return atom.feed(request, reply, stream, { direction, from, count })
}

function filteredLog(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream } = paramsOf(request)
  if (stream === '$all') return atom.logFeed.feed(request, reply, { direction: 'backward' }, true)
  return atom.singleEvents.event(request, reply, stream, 'filtered')
}

function filteredPage(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): unknown {
  const { stream, from, direction, count } = paramsOf(request)
  if (stream !== '$all' || !isDirection(direction)) return reply.callNotFound()
  return atom.logFeed.feed(request, reply, { direction, from, count }, true)
}

function metadataEvent(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream, number } = paramsOf(request)
  return atom.singleEvents.metadata(request, reply, stream, number)
}

function metadataBackward(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream, from, count } = paramsOf(request)
  return atom.feeds.feed(request, reply, metastreamNamed(stream), { direction: 'backward', from, count })
}

function metadataTowards(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): unknown {
  const { stream, from, direction, count } = paramsOf(request)
  if (!isDirection(direction)) return reply.callNotFound()
  return atom.feeds.feed(request, reply, metastreamNamed(stream), { direction, from, count })
}

/** Returns the name of the stream's metastream. @throws a 400 for the name of a metastream */
function metastreamNamed(stream: string): string {
  if (isMetastream(stream)) throw badRequest('Stream must be non-empty string and should not be metastream')
  return metastreamOf(stream)
}

function appendWithId(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream, id } = paramsOf(request)
  return atom.writes.appendIncoming(request, reply, stream, id)
}

/** In EventStoreDB, this path also matches the route of a backward page. */
function pageOfIncoming(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream, id } = paramsOf(request)
  return atom.feed(request, reply, stream, { direction: 'backward', from: 'incoming', count: id })
}

function isDirection(text: string): text is PagePath['direction'] {
  return text === 'forward' || text === 'backward'
}

/**
 * Redirects to the same address without the trailing slash (reference 1.6). Keeps the scheme that a proxy forwards:
 * EventStoreDB ignores it, so its redirect sends credentials that came over HTTPS to plain HTTP.
 */
function redirectWithoutSlash(atom: AtomDialect, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = '', query] = request.url.split('?', 2)
  const base = atom.redirectBaseOf(request)
  const location = `${base}${path.replace(/\/$/, '')}${query === undefined ? '' : `?${query}`}`
  checkShort(location)
  const headers = {
    location,
    'cache-control': 'max-age=31536000, public',
    'content-type': '; charset=utf-8',
    ...(atom.trustProxy && { vary: FORWARDED })
  }
  return sendAsIs(reply, 307, 'Temporary Redirect', headers, 'Moved Permanently')
}

/** @throws `not-found` for an address that is too long for a Location header */
function checkShort(location: string): void {
  const { location_bytes_max: most } = limits
  if (location.length <= most) return
  const why = `The redirect to the address without its trailing slash would be longer than ${most} bytes`
  throw new DaybookError('not-found', `${why}. Request the address without the slash.`)
}

function feedSchema(operationId: string, summary: string, config: FastifyContextConfig): RouteDescription {
  const content = {
    'application/vnd.eventstore.atom+json': { schema: ref(AtomFeed) },
    'application/atom+xml': { schema: text }
  }
  return {
    config,
    schema: { operationId, summary, tags: ['atom'], response: { 200: { description: 'A feed.', content } } }
  }
}

function entrySchema(operationId: string): RouteDescription {
  const content = {
    'application/vnd.eventstore.atom+json': { schema: ref(AtomEntry) },
    'application/atom+xml': { schema: text }
  }
  const summary = 'A metadata event'
  const response = { 200: { description: 'An entry.', content } }
  return { config: READ_METADATA, schema: { operationId, summary, tags: ['atom'], response } }
}
