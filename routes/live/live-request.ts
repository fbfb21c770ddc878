/** Which requests ask for a live read, before anything of them was validated. */
import type { FastifyRequest } from 'fastify'
import { readFormat } from '../wire/media-types.js'

/** The transport that a GET of an address with live reads asks for; undefined for every other request. */
export function liveTransportOf(request: FastifyRequest): 'websocket' | 'sse' | 'ndjson' | undefined {
  const { live, dialect } = request.routeOptions.config
  if (live === undefined || request.method !== 'GET') return undefined
  if (request.ws) return 'websocket'
  if (live === 'upgrades') return undefined
  const { format, live: goesOn } = request.query as { format?: unknown; live?: unknown }
  const isLive = goesOn === 'true' || goesOn === true // as text, or validated
  try {
    const asked = readFormat(request.headers, typeof format === 'string' ? format : undefined, isLive)
    if (asked === 'page' || dialect?.(request)) return undefined
    return asked === 'sse' || isLive ? asked : undefined
  } catch {
    return undefined // the route refuses it
  }
}
