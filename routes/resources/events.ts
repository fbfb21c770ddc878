/** /events, the whole log: reads, atomic appends to several streams, and streamed writes. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EventsAppendQuery } from '../../schemas/append.js'
import { logOperations } from '../../schemas/operations/log-operations.js'
import type { ReadQuery } from '../../schemas/read.js'
import { isAdministrator } from '../../src/access/permissions.js'
import { DaybookError } from '../../src/errors.js'
import type { Address } from '../../src/reading/sources.js'
import type { NewEvent } from '../../src/streams/new-event.js'
import type { AppendAll } from '../../src/writing/plan/write-request.js'
import { actorOf } from '../auth/caller-rights.js'
import { whileClientStays } from '../http/connections/client-gone.js'
import { browsersFirst } from '../http/html-page.js'
import type { Live } from '../live/live.js'
import { liveSocket } from '../live/websocket/websocket.js'
import { checkNamedLog, readUpTo } from '../reading/named-log.js'
import type { Reads } from '../reading/reads.js'
import { isNdjson, mediaType } from '../wire/media-types.js'
import { parseEventPlace } from '../wire/reading/cursor-bounds.js'
import { preferredReturn, renderEventsAppend } from '../wire/writing/append-answer.js'
import { idempotencyKey, keyedIds } from '../wire/writing/idempotency-key.js'
import { parseEventsBody } from '../wire/writing/multi-stream-body.js'
import { type BodyParts, bodyOf, receiveBody, streamOf } from '../writing/received-body.js'
import { StreamedWrite, type StreamedWriteParts } from '../writing/streamed-write.js'
import { type AppendParts, appendOrExplain, checkExpected, NOT_WRITTEN } from './explained-append.js'

/** The parts of the store that the log routes use. Read per request: the store may still be opening. */
export type EventRouteParts = AppendParts & BodyParts & StreamedWriteParts

export function eventRoutes(app: FastifyInstance, parts: EventRouteParts, reading: Reads, live: Live): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (request, payload, done) => {
    if (isNdjson(appendType(request))) done(null, payload)
    else receiveBody(parts, request, payload, done)
  })

  const { read, getEvent, append } = logOperations
  const onRequest = browsersFirst
  const config = { access: 'reader' } as const
  app.route({
    method: 'GET',
    url: '/events',
    onRequest,
    ...liveSocket(live, ({ query }) => ({ address: LOG, query: query as ReadQuery }), 'reader'),
    compress: {},
    schema: read,
    handler: (request, reply) => reading.answer(request, reply, LOG)
  })
  app.get('/events/:position', { config, onRequest, schema: getEvent }, (request, reply) => {
    const { position } = request.params as { position: string }
    return reading.answerEvent(request, reply, LOG, parseEventPlace('position', position))
  })
  // The streams are named in the body, so the rights to write to them are checked when the append is planned.
  app.post('/events', { config: { access: 'writer' }, schema: append }, (request, reply) =>
    answerAppend(parts, request, reply)
  )
}

const LOG: Address = { stream: undefined }

/**
 * Responds to an append: one batch, or a streamed write.
 * @throws `unsupported-media-type`, `bad-parameter`, and the errors of the writer
 */
async function answerAppend(
  parts: EventRouteParts,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const { batch } = request.query as EventsAppendQuery
  if (isNdjson(appendType(request))) {
    return new StreamedWrite(parts, streamOf(request), batch ?? 500, actorOf(request)).answer(request, reply)
  }
  if (batch !== undefined)
    throw new DaybookError('bad-parameter', '"batch" is only allowed with a body of type application/x-ndjson.', {
      parameter: 'batch'
    })
  return appendToStreams(parts, request, reply)
}

/** Returns the media type of an append, before the body is read. @throws `unsupported-media-type` */
function appendType({ headers }: FastifyRequest): string {
  const type = mediaType(headers['content-type'])
  if (isNdjson(type) || type === 'application/json') return type
  throw new DaybookError('unsupported-media-type', 'POST /events accepts application/json and application/x-ndjson.', {
    available: ['application/json', 'application/x-ndjson']
  })
}

async function appendToStreams(
  parts: AppendParts,
  request: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const key = idempotencyKey(request.headers)
  const ids = key === undefined ? undefined : keyedIds(key)
  const { events, conditions, matches } = await parseEventsBody(await bodyOf(request), ids)
  for (const { after } of matches) {
    await checkNamedLog(parts, request, parts.sources.log(), readUpTo(after), NOT_WRITTEN)
    checkCursor(parts, after)
  }
  await checkExpected(parts, request, conditions)
  const first = events[0] as NewEvent
  const seenBy = isAdministrator(request.principal) ? undefined : request.principal
  const append: AppendAll = {
    kind: 'append',
    events,
    conditions,
    matches: matches.length > 0 ? matches.map((match) => ({ ...match, seenBy })) : undefined,
    by: actorOf(request),
    keyed: ids && { stream: first.stream, nextId: ids(first.stream, events.length) }
  }
  const write = (gone?: AbortSignal) =>
    appendOrExplain(parts, append, (index) => ({ pointer: `/events/${index}` }), gone)
  const result = await (matches.length > 0 ? whileClientStays(request.raw.socket, write, parts.clock) : write())
  const wanted = preferredReturn(request.headers.prefer as string | undefined)
  if (wanted !== 'default') reply.header('preference-applied', `return=${wanted}`)
  reply.code(201).header('location', `${request.prefix}/events/${result.events[0]?.position}`)
  reply.header('daybook-head', parts.log.head).header('content-type', 'application/json; charset=utf-8')
  return reply.send(Buffer.from(`${renderEventsAppend(result, wanted)}\n`, 'latin1'))
}

/** Refuses a position after the head, which must come from another log. @throws `cursor-beyond-head` */
function checkCursor({ log }: AppendParts, after: number): void {
  if (after <= log.head) return
  throw new DaybookError(
    'cursor-beyond-head',
    `"after" is ${after}, but the log ends at ${log.head}: the position may come from another log.`,
    { cursor: String(after), head: log.head === -1 ? null : log.head, log: log.id, written: false, retry: false }
  )
}
