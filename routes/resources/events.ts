/** /events: the whole log. Read it, append to several streams at once, write to it line by line. */
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { AppendResult, EventsAppendBody, EventsAppendQuery, Receipt } from '../../schemas/append.js'
import { RecordedEvent } from '../../schemas/events.js'
import { problemResponses } from '../../schemas/problem.js'
import {
  type EventAt,
  EventPlace,
  EventQuery,
  EventsQuery,
  manyEvents,
  overWebSocket,
  type ReadQuery
} from '../../schemas/read.js'
import { ref } from '../../schemas/ref.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import { actorOf } from '../auth/rechecks.js'
import { browsersFirst } from '../http/html-page.js'
import type { Live } from '../live/live.js'
import { liveSocket } from '../live/websocket.js'
import { checkNamedLog, readUpTo } from '../reading/named-log.js'
import type { Reads } from '../reading/reads.js'
import { placeOf } from '../wire/reading/bounds.js'
import { preferredReturn, renderEventsAppend } from '../wire/writing/append-answer.js'
import { bodyOf, streamOf } from '../wire/writing/body.js'
import { keyedIds } from '../wire/writing/event-body.js'
import { parseEventsBody } from '../wire/writing/events-body.js'
import { idempotencyKey, isNdjson, mediaType } from '../wire/writing/stream-body.js'
import { StreamedWrite } from '../writing/streamed-write.js'
import { appendOrExplain, checkExpected, NOT_WRITTEN } from './streams.js'

export function eventRoutes(app: FastifyInstance, store: Store, reading: Reads, live: Live): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))

  app.route({
    method: 'GET',
    url: '/events',
    onRequest: browsersFirst,
    ...liveSocket(live, ({ query }) => ({ address: { stream: undefined }, query: query as ReadQuery }), 'reader'),
    compress: {},
    schema: {
      operationId: 'readEvents',
      summary: 'Read the log',
      description: overWebSocket,
      tags: ['events'],
      querystring: EventsQuery,
      response: {
        200: {
          description: 'A page, a line for each event, or events as they come.',
          content: manyEvents
        },
        ...problemResponses(400, 403, 404, 406, 409, 501)
      }
    },
    handler: (request, reply) => reading.answer(request, reply, { stream: undefined })
  })

  app.get(
    '/events/:position',
    {
      config: { access: 'reader' },
      onRequest: browsersFirst,
      schema: {
        operationId: 'getEventAtPosition',
        summary: 'One event of the log',
        tags: ['events'],
        params: Type.Object({ position: EventPlace }),
        querystring: EventQuery,
        response: {
          200: {
            description: 'The event.',
            content: {
              'application/vnd.daybook.event+json': { schema: ref(RecordedEvent) },
              'application/json': { schema: ref(RecordedEvent) }
            }
          },
          ...problemResponses(400, 404, 406, 410)
        }
      }
    },
    (request, reply) =>
      reading.answerEvent(
        request,
        reply,
        { stream: undefined },
        placeOf('position', (request.params as EventAt).position)
      )
  )

  app.post(
    '/events',
    {
      // Which streams it writes is in its body: the plan asks for each.
      config: { access: 'reader' },
      schema: {
        operationId: 'appendEvents',
        summary: 'Append to several streams at once',
        tags: ['events'],
        querystring: EventsAppendQuery,
        body: {
          content: {
            'application/json': { schema: ref(EventsAppendBody) },
            'application/x-ndjson': {
              schema: Type.String({ description: 'With `batch`: an event with its `stream` a line.' })
            }
          }
        },
        response: {
          200: {
            description: 'A receipt line for each batch.',
            content: { 'application/x-ndjson': { schema: ref(Receipt) } }
          },
          201: { description: 'On disk.', content: { 'application/json': { schema: ref(AppendResult) } } },
          ...problemResponses(400, 403, 409, 412, 413, 415, 422, 501, 503, 507)
        }
      }
    },
    async (request, reply) => {
      const type = mediaType(request.headers['content-type'])
      const { batch } = request.query as EventsAppendQuery
      if (isNdjson(type)) {
        return new StreamedWrite(store.writer, streamOf(request), batch ?? 500, actorOf(request)).answer(request, reply)
      }
      if (type !== 'application/json') {
        throw new DaybookError(
          'unsupported-media-type',
          'POST /events takes application/json or application/x-ndjson.',
          {
            available: ['application/json', 'application/x-ndjson']
          }
        )
      }
      if (batch !== undefined)
        throw new DaybookError('bad-parameter', '"batch" goes with application/x-ndjson.', { parameter: 'batch' })
      return append(store, request, reply)
    }
  )
}

async function append(store: Store, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  request.body = await collect(request.body as Readable | undefined)
  const key = idempotencyKey(request.headers)
  const ids = key === undefined ? undefined : keyedIds(key)
  const { events, conditions, matches } = parseEventsBody(await bodyOf(request), ids)
  for (const { after } of matches) {
    await checkNamedLog(store, request, store.sources.log(), readUpTo(after), NOT_WRITTEN)
    checkCursor(store, after)
  }
  await checkExpected(store, request, conditions)
  const first = events[0] as NewEvent
  const viewer = store.rules.viewerOf(request.principal)
  const result = await appendOrExplain(store, {
    events,
    conditions,
    matches: matches.length > 0 ? matches.map((match) => ({ ...match, viewer })) : undefined,
    mode: 'batch',
    by: actorOf(request),
    keyed: ids && { stream: first.stream, nextId: ids(first.stream, events.length) }
  })
  const wanted = preferredReturn(request.headers.prefer as string | undefined)
  if (wanted !== 'default') reply.header('preference-applied', `return=${wanted}`)
  reply.code(201).header('location', `/events/${result.events[0]?.position}`)
  reply.header('daybook-head', store.log.head).header('content-type', 'application/json; charset=utf-8')
  return reply.send(Buffer.from(`${renderEventsAppend(result, wanted)}\n`, 'latin1'))
}

/** @throws `cursor-beyond-head` for a position that was read from another log */
function checkCursor({ log }: Store, after: number): void {
  if (after <= log.head) return
  throw new DaybookError(
    'cursor-beyond-head',
    `"after" is ${after}, but the log ends at ${log.head}: this may be another log than the one that was read.`,
    { cursor: String(after), head: log.head === -1 ? null : log.head, log: log.id, written: false, retry: false }
  )
}

async function collect(body: Readable | undefined): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += (chunk as Buffer).length
    if (size > limits.body_bytes_max) {
      throw new DaybookError('body-too-large', `A body has at most ${limits.body_bytes_max} bytes.`, {
        limit: limits.body_bytes_max
      })
    }
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
