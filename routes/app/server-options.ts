/** How Fastify and node's server are set up: limits of requests, TLS, the log, and what is answered where no route is. */
import { type FastifyServerOptions, LogController } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { takeTicket } from '../auth/ticket-parameter.js'
import { endRefused } from '../http/connections/lingering-close.js'
import { RequestOrder } from '../http/connections/request-order.js'
import { clientErrorCode, sendProblem } from '../http/error-handler.js'
import { requestIds } from '../http/request-id.js'
import { takeTarget } from '../http/request-target.js'
import { endUpgrade } from '../live/websocket/websocket.js'
import { forwardedPrefix } from '../wire/forwarded.js'
import { httpServer } from './http-server.js'

export interface ServerOptions {
  /** One hop of a proxy is believed: the address, host and protocol that it names. */
  trustProxy?: boolean
  /** Speaks HTTPS with this certificate. */
  tls?: { readonly cert: string; readonly key: string } | undefined
  logLevel?: string
  /** Where lines of the log go; standard output unless it is said. */
  logTo?: NodeJS.WritableStream
}

/** The options of the Fastify instance. */
export function serverOptions(
  { tls, trustProxy, logLevel = 'warn', logTo }: ServerOptions,
  { clock }: { readonly clock: Clock }
): FastifyServerOptions {
  const order = new RequestOrder(clock)
  return {
    serverFactory: (handle) => httpServer(tls, order.listener(handle), clock),
    ...((tls && { https: true }) as object), // the address that it says it listens on
    logger: { level: logLevel, ...(logTo && { stream: logTo }) },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body_bytes_max,
    // One hop: what a client says of itself stands before what the proxy adds.
    trustProxy: trustProxy ? (_address, hop) => hop === 0 : false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIds(),
    rewriteUrl: (request) => {
      takeTarget(request, trustProxy ?? false)
      return takeTicket(request)
    },
    routerOptions: { maxParamLength: limits.url_bytes_max },
    frameworkErrors: (error, request, reply) => {
      // It has no decorations: it never came to a route.
      Object.assign(request, { prefix: trustProxy ? forwardedPrefix(request.headers) : '' })
      endUpgrade(request, reply)
      endRefused(request, reply, clock)
      sendProblem(error, request, reply)
    },
    clientErrorHandler: (error, socket) => order.refuse(socket, clientErrorCode(error))
  }
}
