/**
 * The hooks that run for every request before its route, in this order. The first refusal ends the request. Access
 * checks (routes/auth) run afterwards.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { type BodyTimeParts, limitBodyTimes } from '../http/connections/body-timeout.js'
import { checkExpectation } from '../http/connections/expectation.js'
import { closeGracefully } from '../http/connections/graceful-close.js'
import { shareWithOrigins } from '../http/cors.js'
import { checkDirect, checkHost } from '../http/host-check.js'
import { type LoadOptions, type LoadParts, limitLoad } from '../http/load/rate-limits.js'
import { checkTarget } from '../http/request-target.js'
import type { Origins } from '../http/same-origin.js'
import { holdEarlyReads } from '../live/early-reads.js'
import { acceptWebSockets } from '../live/websocket/websocket.js'

export interface RequestHookOptions {
  /** Host names that a loopback listener accepts in addition to the local ones. Undefined: any (not loopback). */
  hosts?: readonly string[] | undefined
  /** Sends Strict-Transport-Security, so that browsers use HTTPS from now on. */
  hsts?: boolean
  /** Limits of requests and connections. Undefined: no limits. */
  load?: LoadOptions
  /** Limit of the live reads that wait while the store opens. */
  heldMax?: number
}

const BLOCK_ALL = "default-src 'none'; frame-ancestors 'none'"

export async function addRequestHooks(
  app: FastifyInstance,
  parts: LoadParts & BodyTimeParts & { readonly status: string },
  origins: Origins,
  options: RequestHookOptions
): Promise<void> {
  const { clock } = parts
  const { hosts, hsts = false, load } = options
  const closing = closeGracefully(app, clock)
  app.decorateRequest('answer', undefined as unknown as ServerResponse)
  const bodyTimes = limitBodyTimes(app, parts)
  // Registered first, so that a refusal by any later hook also ends the connection of an upgrade.
  await acceptWebSockets(app, clock)
  // `done` instead of async: one promise per hook and request has a measurable cost.
  app.addHook('onRequest', (request, reply, done) => {
    request.answer = reply.raw
    bodyTimes.begin(request, reply)
    if (closing.begun) reply.header('connection', 'close')
    reply.header('request-id', request.id).header('x-content-type-options', 'nosniff')
    // Events contain untrusted data, and a browser runs scripts in some of the media types of responses.
    reply.header('content-security-policy', BLOCK_ALL)
    if (hsts) reply.header('strict-transport-security', 'max-age=31536000')
    checkTarget(request.raw, reply)
    checkHost(request, hosts)
    if (hosts !== undefined) checkDirect(request)
    if (request.headers.expect !== undefined) checkExpectation(request)
    done()
  })
  await shareWithOrigins(app, origins)
  if (load !== undefined) await limitLoad(app, parts, load)
  holdEarlyReads(app, parts, options.heldMax)
}
