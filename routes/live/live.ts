/** Live reads: a plan refuses or accepts the request, then its connection is given to a subscription (native contract §2, §5). */
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Connection, EndedConnection } from '../../src/subscriptions/connection.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import { leaveFlight } from '../http/load/requests-in-flight.js'
import type { Origins } from '../http/same-origin.js'
import { SharedBytes } from '../wire/live/live-frames.js'
import { resumedAt, streamResumedAt } from './last-event-id.js'
import { liveHeaders } from './live-headers.js'
import { NdjsonConnection } from './ndjson-connection.js'
import { type LiveAsked, type LiveParts, type LivePlan, planLive } from './plan-live-read.js'
import { SseConnection } from './sse-connection.js'

export class Live {
  readonly parts: LiveParts
  /** Whose pages may follow over WebSocket, and read for a consumer. */
  readonly origins: Origins
  /** Bytes that many readers receive alike, by form. */
  readonly #shared = { sse: new SharedBytes(), typed: new SharedBytes(), lines: new SharedBytes() }

  constructor(parts: LiveParts, origins: Origins) {
    this.parts = parts
    this.origins = origins
  }

  /**
   * Answers as an event stream or line by line, as long as the client stays.
   * @throws as planLive
   */
  async answer(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: LiveAsked,
    format: 'sse' | 'ndjson'
  ): Promise<FastifyReply> {
    const resumed = format === 'sse' ? streamResumedAt(request) : resumedAt(request)
    if (resumed === 'end') return reply.code(204).send()
    reply.headers(liveHeaders(format))
    if (request.method === 'HEAD') return reply.send('')
    const plan = await planLive(this, { request, headers: request.headers, grants: false }, asked, resumed)
    reply.header('daybook-head', plan.head).header('daybook-log', this.parts.log.id)
    reply.hijack()
    leaveFlight(request)
    const { raw } = reply
    raw.writeHead(200, reply.getHeaders() as Record<string, string>)
    const connection =
      format === 'sse'
        ? new SseConnection(raw, request.ip, plan, this.parts.clock, this.#shared)
        : new NdjsonConnection(raw, request, plan, this.parts.clock, this.#shared.lines)
    const subscription = this.open(plan, connection)
    endWith(request, raw, subscription)
    return reply
  }

  /** Begins to read for a connection that was accepted, and detaches from its consumer when it has ended. */
  open(plan: LivePlan, connection: Connection): Subscription {
    const { liveQuery: query, options, attachment } = plan
    const onClosed = (ended: EndedConnection) => attachment?.release(ended)
    const subscription = this.parts.subscriptions.open({ query, options, connection, progress: attachment, onClosed })
    if (attachment !== undefined) attachment.subscription = subscription
    return subscription
  }
}

/**
 * Ends a subscription with its connection, and the connection when its client ends its own side of it: one that is gone
 * looks the same, and its consumer is wanted back at once.
 */
function endWith({ raw: { socket } }: FastifyRequest, response: ServerResponse, subscription: Subscription): void {
  const leave = () => response.destroy()
  const end = () => {
    socket.removeListener('close', end)
    socket.removeListener('end', leave)
    subscription.ended()
  }
  socket.once('close', end)
  socket.once('end', leave)
  response.once('close', end)
  if (socket.readableEnded) leave()
  if (response.destroyed || socket.destroyed) end()
}
