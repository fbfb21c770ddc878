/** Live reads that are refused temporarily. */
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
 * Counts a live read that is refused temporarily, and responds to it if it uses SSE. An EventSource reconnects only
 * after a 200 of its media type (WHATWG HTML 9.2). So the response is a 200 with a `retry` field and a `closing` block,
 * which contains the problem.
 * @returns undefined if the error must be sent as for any other request
 */
export function refuseLiveRead(
  error: Error,
  request: FastifyRequest,
  reply: FastifyReply,
  metrics: Metrics
): FastifyReply | undefined {
  if (!isDaybookError(error) || !isTemporary(error.code)) return undefined
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
  return reply.send(retry + namedBlock('closing', problemOf(error, request), requestedCursor(request)))
}

/** Whether the same request may succeed later. */
function isTemporary(code: ErrorCode): boolean {
  const { status } = problemKinds[code]
  return status === 503 || status === 429 || code === 'storage-failed'
}

/** The client's own cursor, to send it back: some clients restart from the beginning after a stream without an `id`. */
function requestedCursor(request: FastifyRequest): string | undefined {
  const cursor = lastEventIdOf(request)
  return /^(-1|\d{1,16})$/.test(cursor) ? cursor : undefined
}
