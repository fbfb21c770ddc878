/** Recognizes live reads before the request is validated. */
import type { FastifyRequest } from 'fastify'
import { readFormat } from '../wire/media-types.js'

/** Returns the transport of a live read; undefined for every other request. */
export function liveTransportOf(request: FastifyRequest): 'websocket' | 'sse' | 'ndjson' | undefined {
  const { live, dialect } = request.routeOptions.config
  if (live === undefined || request.method !== 'GET') return undefined
  if (request.ws) return 'websocket'
  if (live === 'upgrades') return undefined
  const { format, live: parameter } = request.query as { format?: unknown; live?: unknown }
  const isLive = parameter === 'true' || parameter === true // text before validation, boolean after it
  try {
    const transport = readFormat(request.headers, typeof format === 'string' ? format : undefined, isLive)
    if (transport === 'page' || dialect?.(request)) return undefined
    return transport === 'sse' || isLive ? transport : undefined
  } catch {
    return undefined // the route refuses it
  }
}
