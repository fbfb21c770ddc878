/** Sends responses with a given status, reason phrase and headers (reference 1.2, 1.3). */
import type { FastifyReply } from 'fastify'
import type { Refusal } from './refusal.js'

/** Sends a refusal. */
export function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { status, reason, headers, contentType, body } = refusal
  if (contentType === undefined) return sendAsIs(reply, status, reason, headers, body)
  reply.raw.statusMessage = reason
  return reply.code(status).headers(headers).header('content-type', contentType).send(body)
}

/** Sends a response without a body. */
export function sendEmpty(
  reply: FastifyReply,
  status: number,
  reason: string,
  headers: Record<string, string> = {}
): FastifyReply {
  return sendAsIs(reply, status, reason, { ...headers, 'content-type': 'text/plain; charset=utf-8' }, '')
}

/** Sends headers that Fastify would change: a content type on a 204, or an incomplete or missing content type. */
export function sendAsIs(
  reply: FastifyReply,
  status: number,
  reason: string,
  headers: Record<string, string>,
  body: string
): FastifyReply {
  const all = { ...(reply.getHeaders() as Record<string, string>), ...headers }
  if (status !== 204) all['content-length'] = String(Buffer.byteLength(body))
  reply.hijack()
  // Fastify does not run onSend hooks for a hijacked response, so stop counting the request here.
  reply.request.flight?.leave(reply.request)
  reply.raw.writeHead(status, reason, all)
  reply.raw.end(body)
  return reply
}
