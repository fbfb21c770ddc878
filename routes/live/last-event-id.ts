/** The cursor from which a client resumes a broken live read: the header `Last-Event-ID` or a query parameter. */
import type { FastifyRequest } from 'fastify'
import type { ReadQuery } from '../../schemas/read.js'
import type { Bound } from '../../src/reading/event-read.js'
import { parseCursor } from '../wire/reading/cursor-bounds.js'

/** EventSource polyfills that cannot set headers send it in the query, under several spellings. */
const SPELLING = /^last-?event-?id$/i

/** Renames the query parameter to the name in the schemas. A second spelling stays, and the schemas refuse it. */
export function normalizeLastEventId({ query }: Pick<FastifyRequest, 'query'>): void {
  const parameters = query as Record<string, unknown>
  for (const name in parameters) {
    if (name === 'lastEventId' || !SPELLING.test(name) || 'lastEventId' in parameters) continue
    parameters.lastEventId = parameters[name]
    delete parameters[name]
  }
}

/** Returns the text of the header, or else of the query parameter; empty without both. Works before validation. */
export function lastEventIdOf({ headers, query }: Pick<FastifyRequest, 'headers' | 'query'>): string {
  const header = String(headers['last-event-id'] ?? '')
  if (header !== '') return header
  const found = Object.entries(query as object).find(([name]) => SPELLING.test(name))
  return String(found?.[1] ?? '')
}

/** Returns where an SSE read resumes; `end` if the client has received everything. @throws `bad-cursor` */
export function sseResumePoint(request: FastifyRequest): Bound | 'end' | undefined {
  const text = lastEventIdOf(request)
  if (/^(-1|\d{1,16});end$/.test(text)) return 'end'
  return text === '' ? undefined : boundAfter(text)
}

/** Returns where a WebSocket or NDJSON read resumes. Only SSE has the header. @throws `bad-cursor` */
export function resumePoint({ query }: Pick<FastifyRequest, 'query'>): Bound | undefined {
  const { lastEventId = '' } = query as ReadQuery
  return lastEventId === '' ? undefined : boundAfter(lastEventId)
}

function boundAfter(text: string): Bound {
  return { kind: 'cursor', value: parseCursor('Last-Event-ID', text), included: false }
}
