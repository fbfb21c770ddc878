/** Live reads that cannot be served now, but may be later. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Metrics } from '../../src/metrics.js'
import { namedBlock, retryField } from '../wire/live/live-frames.js'
import { problemKinds, problemOf } from '../wire/problems/problem.js'
import { lastEventIdOf } from './last-event-id.js'
import { liveHeaders } from './live-headers.js'
import { liveTransportOf } from './live-request.js'

/**
 * Counts a live read that is refused for now. One over an event stream is answered here: an EventSource comes back only
 * from a 200 of its media type (WHATWG HTML 9.2), so it gets one, with a `closing` that carries the problem and a `retry`.
 * @returns undefined when the error is to be answered as of any request
 */
export function refuseLiveRead(
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
  metrics: Metrics
): FastifyReply | undefined {
  if (!isDaybookError(error) || !passes(error.code)) return undefined
  const transport = liveTransportOf(request)
  if (transport === undefined) return undefined
  metrics.liveRefused(error.code)
  if (transport !== 'sse') return undefined
  reply.code(200).headers(liveHeaders('sse'))
  const after = Number(error.details.retryAfter ?? 0) * 1000
  const retry = retryField(
    Math.max(limits.refused_retry_ms_min, after),
    Math.max(limits.refused_retry_ms_max, after * 2)
  )
  return reply.send(retry + namedBlock('closing', problemOf(error, request), placeOf(request)))
}

/** Whether the same request may be served when it is made again later. */
function passes(code: ErrorCode): boolean {
  const { status } = problemKinds[code]
  return status === 503 || status === 429 || code === 'storage-failed'
}

/** The cursor that the client came with, sent back: a client may take a stream without an `id` for one that starts anew. */
function placeOf(request: FastifyRequest): string | undefined {
  const place = lastEventIdOf(request)
  return /^(-1|\d{1,16})$/.test(place) ? place : undefined
}
