/** Where a live reader goes on whose connection broke: the header `Last-Event-ID`, or a parameter of the query. */
import type { FastifyRequest } from 'fastify'
import type { ReadQuery } from '../../schemas/read.js'
import type { Bound } from '../../src/reading/event-read.js'
import { parseCursor } from '../wire/reading/cursor-bounds.js'

/** EventSource polyfills that set no headers send it in the query, and do not agree on how it is written. */
const SPELLING = /^last-?event-?id$/i

/** Names the parameter as the schemas do. Another parameter that means the same is left alone, and refused by them. */
export function nameLastEventId({ query }: Pick<FastifyRequest, 'query'>): void {
  const parameters = query as Record<string, unknown>
  for (const name in parameters) {
    if (name === 'lastEventId' || !SPELLING.test(name) || 'lastEventId' in parameters) continue
    parameters.lastEventId = parameters[name]
    delete parameters[name]
  }
}

/** What the request says, also before it was validated; empty when it says nothing. The header wins. */
export function lastEventIdOf({ headers, query }: Pick<FastifyRequest, 'headers' | 'query'>): string {
  const said = String(headers['last-event-id'] ?? '')
  if (said !== '') return said
  const found = Object.entries(query as object).find(([name]) => SPELLING.test(name))
  return String(found?.[1] ?? '')
}

/** Where an event stream goes on; `end` when its reader had received everything. @throws `bad-cursor` */
export function streamResumedAt(request: FastifyRequest): Bound | 'end' | undefined {
  const text = lastEventIdOf(request)
  if (/^(-1|\d{1,16});end$/.test(text)) return 'end'
  return text === '' ? undefined : boundAfter(text)
}

/** Where a live read over another transport goes on: only event streams have the header. @throws `bad-cursor` */
export function resumedAt({ query }: Pick<FastifyRequest, 'query'>): Bound | undefined {
  const { lastEventId = '' } = query as ReadQuery
  return lastEventId === '' ? undefined : boundAfter(lastEventId)
}

function boundAfter(text: string): Bound {
  return { kind: 'cursor', value: parseCursor('Last-Event-ID', text), included: false }
}
