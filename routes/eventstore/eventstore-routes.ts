/**
 * Addresses that only the Atom dialect has (reference 4): pages by path, metadata by number, appends by id, and names
 * with a slash at the end.
 */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AtomEntry, AtomFeed } from '../../schemas/atom.js'
import { ref } from '../../schemas/ref.js'
import type { Store } from '../../src/store/store.js'
import { isMetastream, metastreamOf } from '../../src/streams/names.js'
import { ofStream } from '../auth/authorization.js'
import type { KnownMethods } from '../http/known-methods.js'
import { DialectReading, type PagePath } from './feeds.js'
import { DialectLog } from './log-feed.js'
import { negotiates, offers } from './wire/codecs.js'
import { badRequest } from './wire/refusal.js'
import { sendAsIs } from './wire/send.js'
import { baseUrl } from './wire/urls.js'
import { DialectWriting, negotiateWrite } from './writes.js'

/** The Atom dialect over a store. */
export class AtomDialect {
  readonly reading: DialectReading
  readonly log: DialectLog
  readonly writing: DialectWriting

  readonly #methods: KnownMethods

  constructor(store: Store, methods: KnownMethods, trustProxy: boolean) {
    this.#methods = methods
    this.reading = new DialectReading(store, trustProxy)
    this.log = new DialectLog(store, this.reading)
    this.writing = new DialectWriting(store, this.reading)
  }

  /** Begins an answer in the dialect: pages of other origins learn which methods there are (reference 1.4). */
  begin(request: FastifyRequest, reply: FastifyReply): this {
    reply.header('access-control-allow-methods', this.#methods.of(request))
    return this
  }

  /** A page of a stream, or of the log under the name `$all`. */
  feed(request: FastifyRequest, reply: FastifyReply, stream: string, path: PagePath): Promise<FastifyReply> {
    return stream === '$all'
      ? this.log.feed(request, reply, path, false)
      : this.reading.feed(request, reply, stream, path)
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

export function atomRoutes(app: FastifyInstance, atom: AtomDialect): void {
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    // A slash at the end makes an empty last parameter: nothing lives there.
    if (Object.values(request.params as Params).includes('')) reply.callNotFound()
    else done()
  })
  const paramsOf = (request: FastifyRequest) => request.params as Params

  app.get('/streams/:stream/:from/:count', feedSchema('readAtomPage', 'A page backward', READ), (request, reply) => {
    const { stream, from, count } = paramsOf(request)
    return atom.feed(request, reply, stream, { direction: 'backward', from, count })
  })

  app.get(
    '/streams/:stream/:from/:direction/:count',
    feedSchema('readAtomPageTowards', 'A page', READ),
    (request, reply) => {
      const { stream, from, direction, count } = paramsOf(request)
      if (stream === '$all' && from === 'filtered') {
        return atom.log.feed(request, reply, { direction: 'backward', from: direction, count }, true)
      }
      if (!isDirection(direction)) return reply.callNotFound()
      return atom.feed(request, reply, stream, { direction, from, count })
    }
  )

  app.get('/streams/:stream/filtered', feedSchema('readFilteredLog', 'The filtered log', READ), (request, reply) => {
    const { stream } = paramsOf(request)
    if (stream === '$all') return atom.log.feed(request, reply, { direction: 'backward' }, true)
    return atom.reading.event(request, reply, stream, 'filtered')
  })

  app.get(
    '/streams/:stream/filtered/:from/:direction/:count',
    feedSchema('readFilteredPage', 'A page of the filtered log', READ),
    (request, reply) => {
      const { stream, from, direction, count } = paramsOf(request)
      if (stream !== '$all' || !isDirection(direction)) return reply.callNotFound()
      return atom.log.feed(request, reply, { direction, from, count }, true)
    }
  )

  app.get('/streams/:stream/metadata/:number', entrySchema('getMetadataEvent'), (request, reply) => {
    const { stream, number } = paramsOf(request)
    return atom.reading.metadata(request, reply, stream, number)
  })

  app.get(
    '/streams/:stream/metadata/:from/:count',
    feedSchema('readMetadataPage', 'A page of metadata backward', READ_METADATA),
    (request, reply) => {
      const { stream, from, count } = paramsOf(request)
      return metadataFeed(atom, request, reply, stream, { direction: 'backward', from, count })
    }
  )

  app.get(
    '/streams/:stream/metadata/:from/:direction/:count',
    feedSchema('readMetadataPageTowards', 'A page of metadata', READ_METADATA),
    (request, reply) => {
      const { stream, from, direction, count } = paramsOf(request)
      if (!isDirection(direction)) return reply.callNotFound()
      return metadataFeed(atom, request, reply, stream, { direction, from, count })
    }
  )

  const incoming = {
    config: {
      access: ofStream('write'),
      dialect: always,
      negotiate: (request: FastifyRequest) => negotiateWrite(request, offers.incoming)
    },
    schema: {
      operationId: 'appendWithId',
      summary: 'Append one event whose id stands in the address',
      tags: ['atom'],
      response: { 201: { type: 'null', description: 'On disk.' } }
    }
  }
  app.post('/streams/:stream/incoming/:id', incoming, (request, reply) => {
    const { stream, id } = paramsOf(request)
    return atom.writing.appendIncoming(request, reply, stream, id)
  })
  // The original's route table has the page backward here too.
  app.get('/streams/:stream/incoming/:id', { config: READ, schema: { hide: true } }, (request, reply) => {
    const { stream, id } = paramsOf(request)
    return atom.feed(request, reply, stream, { direction: 'backward', from: 'incoming', count: id })
  })

  for (const [url, method] of [
    ['/streams/:stream/', ['GET', 'POST', 'DELETE']],
    ['/streams/:stream/metadata/', ['GET', 'POST']]
  ] as const) {
    app.route({
      method: [...method],
      url,
      config: { access: 'anyone' },
      schema: { hide: true },
      handler: redirectWithoutSlash
    })
  }
}

function isDirection(text: string): text is PagePath['direction'] {
  return text === 'forward' || text === 'backward'
}

function metadataFeed(
  atom: AtomDialect,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string,
  path: PagePath
): Promise<FastifyReply> {
  if (isMetastream(stream)) throw badRequest('Stream must be non-empty string and should not be metastream')
  return atom.reading.feed(request, reply, metastreamOf(stream), path)
}

/** The same address without the slash, whatever a proxy says (reference 1.6). */
function redirectWithoutSlash(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = '', query] = request.url.split('?', 2)
  const base = baseUrl(request.headers, 'encrypted' in request.raw.socket, false)
  const location = `${base}${path.replace(/\/$/, '')}${query === undefined ? '' : `?${query}`}`
  const headers = { location, 'cache-control': 'max-age=31536000, public', 'content-type': '; charset=utf-8' }
  return sendAsIs(reply, 307, 'Temporary Redirect', headers, 'Moved Permanently')
}

const text = Type.String()

const always = () => true
const form = { dialect: always, negotiate: negotiates(offers.feed) }
const READ: FastifyContextConfig = { access: ofStream('read'), ...form }
const READ_METADATA: FastifyContextConfig = { access: ofStream('readMetadata'), ...form }

function feedSchema(
  operationId: string,
  summary: string,
  config: FastifyContextConfig
): { schema: object; config: FastifyContextConfig } {
  const content = {
    'application/vnd.eventstore.atom+json': { schema: ref(AtomFeed) },
    'application/atom+xml': { schema: text }
  }
  return {
    config,
    schema: { operationId, summary, tags: ['atom'], response: { 200: { description: 'A feed.', content } } }
  }
}

function entrySchema(operationId: string): { schema: object; config: FastifyContextConfig } {
  const content = {
    'application/vnd.eventstore.atom+json': { schema: ref(AtomEntry) },
    'application/atom+xml': { schema: text }
  }
  const summary = 'A metadata event'
  const response = { 200: { description: 'An entry.', content } }
  return { config: READ_METADATA, schema: { operationId, summary, tags: ['atom'], response } }
}
