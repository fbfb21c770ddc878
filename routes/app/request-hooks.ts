/**
 * What every request passes before its route, in this order; the first refusal is the one that is answered. Who may use a
 * route is asked after this (routes/auth).
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { type BodyTimeParts, cutSlowBodies } from '../http/connections/body-timeout.js'
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
  /** Names by which a loopback listener may be called, beside the local ones. Undefined: any (not a loopback). */
  hosts?: readonly string[] | undefined
  /** Tells browsers to come over HTTPS from now on. */
  hsts?: boolean
  /** Undefined: any number of requests and connections is taken. */
  load?: LoadOptions
  /** Live reads that are held while the store opens. */
  heldMax?: number
}

const NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"

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
  const bodyTimes = cutSlowBodies(app, parts)
  // First, so that a refusal by any hook ends the connection of an upgrade, too.
  await acceptWebSockets(app, clock)
  // With `done` rather than async: a promise for each hook of each request can be measured.
  app.addHook('onRequest', (request, reply, done) => {
    request.answer = reply.raw
    bodyTimes.begin(request, reply)
    if (closing.begun) reply.header('connection', 'close')
    reply.header('request-id', request.id).header('x-content-type-options', 'nosniff')
    // Events hold what strangers wrote, are answered in many forms, and a browser runs scripts in some of them.
    reply.header('content-security-policy', NOTHING_RUNS)
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
