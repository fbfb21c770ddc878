/** /streams/{stream}: read, append, delete; /streams/{stream}/{number}: one event. */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type DeleteQuery, streamOperations } from '../../schemas/operations/stream-operations.js'
import type { ReadQuery, StreamParams } from '../../schemas/read.js'
import { checkDeletableName } from '../../src/streams/index-streams.js'
import { checkEventStream } from '../../src/streams/names.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { ofStream } from '../auth/authorization.js'
import { actorOf } from '../auth/caller-rights.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { negotiates, offers } from '../eventstore/wire/codecs.js'
import { isDialectAppend, isDialectRead } from '../eventstore/wire/form.js'
import { sendEmpty } from '../eventstore/wire/send.js'
import { negotiateWrite } from '../eventstore/writes.js'
import { browsersFirst } from '../http/html-page.js'
import type { Live } from '../live/live.js'
import type { LiveTarget } from '../live/plan-live-read.js'
import { liveSocket } from '../live/websocket/websocket.js'
import { namedLog } from '../reading/named-log.js'
import type { Reads } from '../reading/reads.js'
import { parseEventPlace } from '../wire/reading/cursor-bounds.js'
import { streamAddress } from '../wire/reading/read-request.js'
import { preferredReturn, renderStreamAppend } from '../wire/writing/append-answer.js'
import { expectedVersionOf } from '../wire/writing/conditions.js'
import { checkBodyType, parseStreamBody } from '../wire/writing/stream-body.js'
import { bodyOf } from '../writing/received-body.js'
import { type AppendParts, appendOrExplain, checkExpected } from './explained-append.js'

export function streamRoutes(
  app: FastifyInstance,
  parts: AppendParts,
  reading: Reads,
  live: Live,
  atom: AtomDialect
): void {
  const streams = new StreamHandlers(parts, reading, atom)
  const { read, getEvent, append, remove } = streamOperations
  // The schemas apply only to requests of the native form: `checkValid` throws their errors. The Atom dialect has
  // checks of its own.
  const attachValidation = true
  const onRequest = browsersFirst
  const liveRead = liveSocket(live, liveTarget, ofStream('read'))
  app.route({
    method: 'GET',
    url: '/streams/:stream',
    onRequest,
    ...dialectWhere({ dialect: readsFeed, reads: 'feed', negotiate: negotiates(offers.feed) }, liveRead),
    compress: {},
    attachValidation,
    schema: read,
    handler: (request, reply) => streams.read(request, reply)
  })
  const one: FastifyContextConfig = {
    access: ofStream('read'),
    dialect: readsEvent,
    reads: 'event',
    negotiate: negotiates(offers.event)
  }
  app.get(
    '/streams/:stream/:number',
    { config: one, onRequest, attachValidation, schema: getEvent },
    (request, reply) => streams.readEvent(request, reply)
  )
  const written = { access: ofStream('write'), dialect: appends, negotiate: negotiatesAppend, takesBody }
  app.post('/streams/:stream', { config: written, attachValidation, schema: append }, (request, reply) =>
    streams.append(request, reply)
  )
  const deleted = { access: ofStream('delete'), dialect: readsFeed, negotiate: negotiates(offers.write) }
  app.delete('/streams/:stream', { config: deleted, attachValidation, schema: remove }, (request, reply) =>
    streams.remove(request, reply)
  )
}

const readsFeed = (request: FastifyRequest) => isDialectRead(request, 'feed')
const readsEvent = (request: FastifyRequest) => isDialectRead(request, 'event')
const appends = ({ headers }: FastifyRequest) => isDialectAppend(headers)
const negotiatesAppend = (request: FastifyRequest) => negotiateWrite(request, offers.write)
const takesBody = (request: FastifyRequest) => {
  if (appends(request)) negotiatesAppend(request)
  else checkBodyType(request.headers)
}

/** The stream and the query of a live read. */
function liveTarget({ params, query }: FastifyRequest): LiveTarget {
  return { address: streamAddress((params as StreamParams).stream), query: query as ReadQuery }
}

class StreamHandlers {
  readonly #parts: AppendParts
  readonly #reading: Reads
  readonly #atom: AtomDialect

  constructor(parts: AppendParts, reading: Reads, atom: AtomDialect) {
    this.#parts = parts
    this.#reading = reading
    this.#atom = atom
  }

  read(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { stream } = request.params as StreamParams
    if (readsFeed(request)) {
      return this.#atom.begin(request, reply).feed(request, reply, stream, { direction: 'backward' })
    }
    checkValid(request)
    return this.#reading.answer(request, reply, streamAddress(stream))
  }

  readEvent(request: FastifyRequest, reply: FastifyReply) {
    const { stream, number } = request.params as { stream: string; number: string }
    if (number === '') return reply.callNotFound()
    if (readsEvent(request)) return this.#atom.begin(request, reply).singleEvents.event(request, reply, stream, number)
    checkValid(request)
    return this.#reading.answerEvent(request, reply, streamAddress(stream), parseEventPlace('number', number))
  }

  append(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (isDialectAppend(request.headers)) {
      const { stream } = request.params as StreamParams
      return this.#atom.begin(request, reply).writes.append(request, reply, stream)
    }
    checkValid(request)
    return appendToStream(this.#parts, request, reply)
  }

  remove(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { stream } = request.params as StreamParams
    const { writes } = this.#atom.begin(request, reply)
    if (readsFeed(request)) return writes.delete(request, reply, stream)
    checkValid(request)
    return deleteStream(this.#parts, request, reply, stream)
  }
}

async function appendToStream(parts: AppendParts, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream } = request.params as StreamParams
  checkEventStream(stream)
  const expected = expectedVersionOf(request.headers)
  const { events, keyed, placeOf } = await parseStreamBody(stream, request.headers, await bodyOf(request))
  const conditions = expected === 'any' ? [] : [{ stream, expected }]
  if (namedLog(request) !== undefined) await checkExpected(parts, request, conditions)
  const append: AppendAll = {
    kind: 'append',
    events,
    conditions,
    keyed,
    by: actorOf(request)
  }
  const result = await appendOrExplain(parts, append, placeOf)
  const head = result.heads.get(stream) as number
  reply.code(201)
  reply.header('location', `${request.prefix}/streams/${encodeURIComponent(stream)}/${result.events[0]?.number}`)
  reply.header('etag', `"${head}"`)
  reply.header('daybook-head', head)
  const wanted = preferredReturn(request.headers.prefer as string | undefined)
  if (wanted !== 'default') reply.header('preference-applied', `return=${wanted}`)
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(Buffer.from(`${renderStreamAppend(stream, result, wanted)}\n`, 'latin1'))
}

async function deleteStream(
  parts: AppendParts,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string
): Promise<FastifyReply> {
  checkDeletableName(stream)
  const expected = expectedVersionOf(request.headers)
  const { permanent = false } = request.query as DeleteQuery
  await checkExpected(parts, request, expected === 'any' ? [] : [{ stream, expected }])
  const { head } = await parts.writer.delete({ kind: 'delete', stream, expected, permanent, by: actorOf(request) })
  return sendEmpty(reply, 204, 'Stream deleted', { etag: `"${head}"`, 'daybook-head': String(head) })
}

/** Adds to a route the configuration that selects the requests for the Atom dialect. */
function dialectWhere<T extends { config?: FastifyContextConfig }>(
  dialect: Pick<FastifyContextConfig, 'dialect' | 'reads' | 'negotiate'>,
  route: T
): T {
  return { ...route, config: { ...route.config, ...dialect } }
}

/** Refuses an invalid request of the native form. @throws the validation error of Fastify */
function checkValid(request: FastifyRequest): void {
  if (request.validationError !== undefined) throw request.validationError
}
