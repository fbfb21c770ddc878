/** /streams/{stream}: read, append; /streams/{stream}/{number}: one event. */
import type { FastifyContextConfig, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Static, Type } from 'typebox'
import { AppendQuery, AppendResult as AppendResultSchema, StreamAppendBody } from '../../schemas/append.js'
import { RecordedEvent } from '../../schemas/events.js'
import { problemResponses } from '../../schemas/problem.js'
import { EventPlace, EventQuery, manyEvents, overWebSocket, type ReadQuery, StreamQuery } from '../../schemas/read.js'
import { ref } from '../../schemas/ref.js'
import { DaybookError, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Source } from '../../src/reading/source.js'
import type { Store } from '../../src/store/store.js'
import { checkAppendableName, checkEventStream } from '../../src/streams/names.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { Condition } from '../../src/writing/expected-version.js'
import type { AppendRequest, AppendResult } from '../../src/writing/plan-append.js'
import { ofStream } from '../auth/authorization.js'
import { actorOf } from '../auth/rechecks.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { negotiates, offers } from '../eventstore/wire/codecs.js'
import { isDialectAppend, isDialectRead } from '../eventstore/wire/form.js'
import { sendEmpty } from '../eventstore/wire/send.js'
import { negotiateWrite } from '../eventstore/writes.js'
import { browsersFirst } from '../http/html-page.js'
import type { Live } from '../live/live.js'
import { liveSocket } from '../live/websocket.js'
import { checkNamedLog, namedLog, readUpTo } from '../reading/named-log.js'
import type { Reads } from '../reading/reads.js'
import { placeOf } from '../wire/reading/bounds.js'
import { addressOf } from '../wire/reading/read-request.js'
import { preferredReturn, renderStreamAppend } from '../wire/writing/append-answer.js'
import { bodyOf } from '../wire/writing/body.js'
import { expectedVersionOf } from '../wire/writing/conditions.js'
import { parseStreamBody } from '../wire/writing/stream-body.js'

const StreamParams = Type.Object({ stream: Type.String({ description: 'Percent-encoded once.' }) })
const EventParams = Type.Object({
  ...StreamParams.properties,
  number: EventPlace
})

export function streamRoutes(app: FastifyInstance, store: Store, reading: Reads, live: Live, atom: AtomDialect): void {
  app.route({
    method: 'GET',
    url: '/streams/:stream',
    onRequest: browsersFirst,
    ...dialectWhere(
      { dialect: (request) => isDialectRead(request, 'feed'), negotiate: negotiates(offers.feed) },
      liveSocket(
        live,
        ({ params, query }) => ({
          address: addressOf((params as { stream: string }).stream),
          query: query as ReadQuery
        }),
        ofStream('read')
      )
    ),
    compress: {},
    attachValidation: true,
    schema: {
      operationId: 'readStream',
      summary: 'Read a stream',
      description: overWebSocket,
      tags: ['streams'],
      params: StreamParams,
      querystring: StreamQuery,
      response: {
        200: { description: 'A page, a line for each event, or events as they come.', content: manyEvents },
        ...problemResponses(400, 403, 404, 406, 409, 410, 501)
      }
    },
    handler: (request, reply) => {
      const { stream } = request.params as { stream: string }
      if (isDialectRead(request, 'feed')) {
        return atom.begin(request, reply).feed(request, reply, stream, { direction: 'backward' })
      }
      checkValid(request)
      return reading.answer(request, reply, addressOf(stream))
    }
  })

  app.get(
    '/streams/:stream/:number',
    {
      config: {
        access: ofStream('read'),
        dialect: (request) => isDialectRead(request, 'single'),
        negotiate: negotiates(offers.event)
      },
      onRequest: browsersFirst,
      attachValidation: true,
      schema: {
        operationId: 'getEvent',
        summary: 'One event of a stream',
        tags: ['streams'],
        params: EventParams,
        querystring: EventQuery,
        response: { 200: { description: 'The event.', content: eventContent }, ...problemResponses(400, 404, 406, 410) }
      }
    },
    (request, reply) => {
      const { stream, number } = request.params as { stream: string; number: string }
      if (number === '') return reply.callNotFound()
      if (isDialectRead(request, 'single')) {
        return atom.begin(request, reply).singleEvents.event(request, reply, stream, number)
      }
      checkValid(request)
      return reading.answerEvent(request, reply, addressOf(stream), placeOf('number', number))
    }
  )

  app.post(
    '/streams/:stream',
    {
      config: {
        access: ofStream('write'),
        dialect: ({ headers }) => isDialectAppend(headers),
        negotiate: (request) => negotiateWrite(request, offers.write)
      },
      attachValidation: true,
      schema: {
        operationId: 'appendToStream',
        summary: 'Append events to a stream',
        tags: ['streams'],
        params: StreamParams,
        querystring: AppendQuery,
        headers: AppendHeaders,
        body: {
          content: {
            'application/json': { schema: StreamAppendBody },
            'application/x-ndjson': { schema: Type.String({ description: 'An event a line, one atomic batch.' }) }
          }
        },
        response: {
          201: { description: 'On disk.', content: { 'application/json': { schema: ref(AppendResultSchema) } } },
          ...problemResponses(400, 403, 409, 412, 413, 415, 422, 503, 507)
        }
      }
    },
    (request, reply) => {
      if (isDialectAppend(request.headers)) {
        return atom.begin(request, reply).writes.append(request, reply, (request.params as { stream: string }).stream)
      }
      checkValid(request)
      return append(store, request, reply)
    }
  )

  app.delete(
    '/streams/:stream',
    {
      config: {
        access: ofStream('delete'),
        dialect: (request) => isDialectRead(request, 'feed'),
        negotiate: negotiates(offers.write)
      },
      attachValidation: true,
      schema: {
        operationId: 'deleteStream',
        summary: 'Delete a stream',
        tags: ['streams'],
        params: StreamParams,
        querystring: DeleteQuery,
        headers: DeleteHeaders,
        response: {
          204: { type: 'null', description: 'Deleted. An append brings it back, unless it was deleted for ever.' },
          ...problemResponses(400, 404, 410, 412, 503, 507)
        }
      }
    },
    (request, reply) => {
      const { stream } = request.params as { stream: string }
      const { writes } = atom.begin(request, reply)
      if (isDialectRead(request, 'feed')) return writes.delete(request, reply, stream)
      checkValid(request)
      return deleteStream(store, request, reply, stream)
    }
  )
}

async function deleteStream(
  store: Store,
  request: FastifyRequest,
  reply: FastifyReply,
  stream: string
): Promise<FastifyReply> {
  checkAppendableName(stream)
  const expected = expectedVersionOf(request.headers)
  const { permanent = false } = request.query as DeleteQuery
  await checkExpected(store, request, expected === 'any' ? [] : [{ stream, expected }])
  const { head } = await store.writer.delete({ stream, expected, permanent, by: actorOf(request) })
  return sendEmpty(reply, 204, 'Stream deleted', { etag: `"${head}"`, 'daybook-head': String(head) })
}

/** Marks which requests of a route the dialect answers. */
function dialectWhere<T extends { config?: FastifyContextConfig }>(
  dialect: Pick<FastifyContextConfig, 'dialect' | 'negotiate'>,
  route: T
): T {
  return { ...route, config: { ...route.config, ...dialect } }
}

/** Requests of the dialect are checked by it; the native form by its schemas. @throws what the schemas say */
function checkValid(request: FastifyRequest): void {
  if (request.validationError !== undefined) throw request.validationError
}

const eventContent = {
  'application/vnd.daybook.event+json': { schema: ref(RecordedEvent) },
  'application/json': { schema: ref(RecordedEvent) }
}

const DeleteQuery = Type.Object(
  {
    permanent: Type.Optional(
      Type.Boolean({ description: '`true`: a tombstone. Nothing can ever be appended again. Default `false`.' })
    )
  },
  { additionalProperties: false }
)
type DeleteQuery = Static<typeof DeleteQuery>

const header = (description: string) => Type.Optional(Type.String({ description }))
const AppendHeaders = Type.Object({
  'if-match': header('`"7"`: the last event is 7. `*`: the stream exists.'),
  'if-none-match': header('`*`: the stream was never written.'),
  'idempotency-key': header('1 to 255 characters; makes a retry exact without ids of events.'),
  'event-type': header('The body is the bare data of one event of this type.'),
  'event-id': header('With Event-Type: the id.'),
  'event-metadata': header('With Event-Type: metadata as ASCII JSON.'),
  prefer: header('`return=minimal` or `return=representation`.'),
  'daybook-log': header('The log that the expected number was read from: see `log-changed`.')
})

const DeleteHeaders = Type.Object({
  'if-match': AppendHeaders.properties['if-match'],
  'if-none-match': AppendHeaders.properties['if-none-match'],
  'daybook-log': AppendHeaders.properties['daybook-log']
})

async function append(store: Store, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const { stream } = request.params as { stream: string }
  checkEventStream(stream)
  const expected = expectedVersionOf(request.headers)
  const { events, keyed } = parseStreamBody(stream, request.headers, await bodyOf(request))
  const conditions = expected === 'any' ? [] : [{ stream, expected }]
  if (namedLog(request) !== undefined) await checkExpected(store, request, conditions)
  const asked: AppendRequest = {
    events,
    conditions,
    mode: 'batch',
    keyed,
    by: actorOf(request)
  }
  const result = await appendOrExplain(store, asked)
  const head = result.heads.get(stream) as number
  reply.code(201)
  reply.header('location', `/streams/${encodeURIComponent(stream)}/${result.events[0]?.number}`)
  reply.header('etag', `"${head}"`)
  reply.header('daybook-head', head)
  const wanted = preferredReturn(request.headers.prefer as string | undefined)
  if (wanted !== 'default') reply.header('preference-applied', `return=${wanted}`)
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(Buffer.from(`${renderStreamAppend(stream, result, wanted)}\n`, 'latin1'))
}

export const NOT_WRITTEN = { written: false, retry: false }

/** The number that a stream is expected to be at was read, too. @throws `log-changed`, as checkNamedLog */
export async function checkExpected(
  store: Store,
  request: FastifyRequest,
  conditions: readonly Condition[]
): Promise<void> {
  if (namedLog(request) === undefined) return
  for (const { stream, expected } of conditions) {
    if (typeof expected !== 'number') continue
    const source = await store.sources.toFollow({ stream })
    await checkNamedLog(store, request, source, readUpTo(expected), { stream, ...NOT_WRITTEN })
  }
}

/** Appends; a refusal for the version is completed with what was missed, so that one answer is enough to decide anew. */
export async function appendOrExplain(store: Store, asked: AppendRequest): Promise<AppendResult> {
  checkIdsOnce(asked.events)
  try {
    return await store.writer.append(asked)
  } catch (error) {
    if (!isDaybookError(error) || error.code !== 'wrong-expected-version') throw error
    const { stream, expected } = error.details as { stream: string; expected: unknown }
    const { by } = asked
    // Whoever may only append is not told what others did.
    if (by !== undefined && !(await store.rules.may(by.principal, 'read', stream))) throw error
    const from = typeof expected === 'number' ? expected + 1 : 0
    throw new DaybookError(error.code, error.message, { ...error.details, ...(await missed(store, stream, from)) })
  }
}

async function missed(store: Store, stream: string, from: number): Promise<Record<string, unknown>> {
  const source = await sourceIfAny(store, stream)
  if (source === undefined || from > source.head) return { missed: [] }
  const events = []
  for (
    let number = Math.max(from, source.first);
    number <= Math.min(source.head, from + limits.missed_events_max - 1);
    number++
  ) {
    const record = await store.reader.event(source, number)
    events.push({ number, type: record.type, id: record.idText })
  }
  return { missed: events, links: { missed: `/streams/${encodeURIComponent(stream)}?from=${from}` } }
}

async function sourceIfAny(store: Store, stream: string): Promise<Source | undefined> {
  try {
    return await store.sources.of(stream)
  } catch {
    return undefined
  }
}

/** @throws `bad-event-id` when one id stands twice in a batch */
function checkIdsOnce(events: readonly NewEvent[]): void {
  if (events.length < 2) return
  const seen = new Set<string>()
  for (const [index, { stream, id }] of events.entries()) {
    if (id === undefined) continue
    const key = id.toString('latin1') + stream
    if (seen.has(key))
      throw new DaybookError('bad-event-id', `The id of event ${index} stands twice in this batch.`, { index })
    seen.add(key)
  }
}
