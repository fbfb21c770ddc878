/**
 * Live reads (native contract §2, §5). A plan accepts or refuses the request; then a subscription takes over its
 * connection.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Connection, EndedConnection } from '../../src/subscriptions/connection.js'
import type { Subscription } from '../../src/subscriptions/subscription.js'
import { leaveFlight } from '../http/load/requests-in-flight.js'
import type { Origins } from '../http/same-origin.js'
import { SharedBytes } from '../wire/live/live-frames.js'
import { resumePoint, sseResumePoint } from './last-event-id.js'
import { liveHeaders } from './live-headers.js'
import { NdjsonConnection } from './ndjson-connection.js'
import { type LiveParts, type LivePlan, type LiveTarget, planLive } from './plan-live-read.js'
import { SseConnection } from './sse-connection.js'

export class Live {
  readonly parts: LiveParts
  /** Origins whose web pages may use WebSocket, and may read for a consumer. */
  readonly origins: Origins
  /** Rendered events that several subscriptions share, by format. */
  readonly #shared = { sse: new SharedBytes(), typed: new SharedBytes(), lines: new SharedBytes() }

  constructor(parts: LiveParts, origins: Origins) {
    this.parts = parts
    this.origins = origins
  }

  /**
   * Responds with SSE or NDJSON until the read ends or the client disconnects.
   * @throws as planLive
   */
  async answer(
    request: FastifyRequest,
    reply: FastifyReply,
    target: LiveTarget,
    format: 'sse' | 'ndjson'
  ): Promise<FastifyReply> {
    const resumed = format === 'sse' ? sseResumePoint(request) : resumePoint(request)
    if (resumed === 'end') return reply.code(204).send()
    reply.headers(liveHeaders(format))
    if (request.method === 'HEAD') return reply.send('')
    const plan = await planLive(this, { request, headers: request.headers, grants: false }, target, resumed)
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

  /** Opens the subscription of an accepted connection. Releases the consumer when the connection ends. */
  open(plan: LivePlan, connection: Connection): Subscription {
    const { liveQuery: query, options, attachment } = plan
    const onClosed = (ended: EndedConnection) => attachment?.release(ended)
    const subscription = this.parts.subscriptions.open({ query, options, connection, progress: attachment, onClosed })
    if (attachment !== undefined) attachment.subscription = subscription
    return subscription
  }
}

/**
 * Ends the subscription when its connection closes. Also closes the connection when the client closes its side of it: a
 * client that has disconnected looks the same, and its consumer must be free for another connection at once.
 */
function endWith({ raw: { socket } }: FastifyRequest, response: ServerResponse, subscription: Subscription): void {
  const onClientEnd = () => response.destroy()
  const onClose = () => {
    socket.removeListener('close', onClose)
    socket.removeListener('end', onClientEnd)
    subscription.ended()
  }
  socket.once('close', onClose)
  socket.once('end', onClientEnd)
  response.once('close', onClose)
  if (socket.readableEnded) onClientEnd()
  if (response.destroyed || socket.destroyed) onClose()
}
