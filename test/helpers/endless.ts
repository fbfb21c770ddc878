/** Answers that have no end: a live read is read up to its headers, every other answer to its end. */
import type { Readable } from 'node:stream'
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'

/** Does what `inject` does. Of a live read it returns the headers and an empty body, and disconnects. */
export async function injectLive(app: FastifyInstance, request: InjectOptions): Promise<LightMyRequestResponse> {
  const answer = await app.inject({ ...request, payloadAsStream: true } as InjectOptions)
  const stream = (answer as unknown as { stream(): Readable }).stream()
  const type = String(answer.headers['content-type'] ?? '')
  // A streamed write answers with NDJSON, too, but its receipts end.
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
