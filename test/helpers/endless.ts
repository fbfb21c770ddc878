/** Answers that have no end: a live read is looked at up to its headers, every other answer to its end. */
import type { Readable } from 'node:stream'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'

/** As `inject`. The body of an answer that goes on is empty, and its reader gone. */
export async function injected(app: FastifyInstance, request: InjectOptions): Promise<LightMyRequestResponse> {
  const answer = await app.inject({ ...request, payloadAsStream: true } as InjectOptions)
  const stream = (answer as unknown as { stream(): Readable }).stream()
  const type = String(answer.headers['content-type'] ?? '')
  // The receipts of a streamed write end.
  const isLive = request.method !== 'POST' && answer.headers['x-accel-buffering'] !== undefined
  const endless = /^text\/event-stream/.test(type) || (/x-ndjson/.test(type) && isLive)
  const chunks: Buffer[] = []
  if (endless) stream.destroy()
  else for await (const chunk of stream) chunks.push(chunk as Buffer)
  const rawPayload = Buffer.concat(chunks)
  const body = rawPayload.toString()
  const { statusCode, statusMessage, headers } = answer
  return {
    statusCode,
    statusMessage,
    headers,
    rawPayload,
    body,
    payload: body,
    json: () => JSON.parse(body)
  } as LightMyRequestResponse
}
