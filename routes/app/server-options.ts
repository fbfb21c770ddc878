/** Options of Fastify and of node's server: request limits, TLS, logging, and errors of requests without a route. */
import { type FastifyServerOptions, LogController } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { stripTicket } from '../auth/ticket-parameter.js'
import { endRefused } from '../http/connections/lingering-close.js'
import { RequestOrder } from '../http/connections/request-order.js'
import { clientErrorCode, sendProblem } from '../http/error-handler.js'
import { requestIds } from '../http/request-id.js'
import { normalizeTarget } from '../http/request-target.js'
import { endUpgrade } from '../live/websocket/websocket.js'
import { forwardedPrefix } from '../wire/forwarded.js'
import { httpServer } from './http-server.js'

export interface ServerOptions {
  /** Trusts one proxy: uses the client address, host and protocol that it forwards. */
  trustProxy?: boolean
  /** The certificate and key for HTTPS, as PEM. Undefined: plain HTTP. */
  tls?: { readonly cert: string; readonly key: string } | undefined
  logLevel?: string
  /** Destination of log lines. Default: standard output. */
  logTo?: NodeJS.WritableStream
}

/** Returns the options of the Fastify instance. */
export function serverOptions(
  { tls, trustProxy, logLevel = 'warn', logTo }: ServerOptions,
  { clock }: { readonly clock: Clock }
): FastifyServerOptions {
  const order = new RequestOrder(clock)
  return {
    serverFactory: (handle) => httpServer(tls, order.listener(handle), clock),
    ...((tls && { https: true }) as object), // the scheme in the address that Fastify logs
    logger: { level: logLevel, ...(logTo && { stream: logTo }) },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body_bytes_max,
    // One hop: the client can send forged entries, which precede the entry that the proxy appends.
    trustProxy: trustProxy ? (_address, hop) => hop === 0 : false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIds(),
    rewriteUrl: (request) => {
      normalizeTarget(request, trustProxy ?? false)
      return stripTicket(request)
    },
    routerOptions: { maxParamLength: limits.url_bytes_max },
    frameworkErrors: (error, request, reply) => {
      // Fastify has not decorated this request, since it never reached a route.
      Object.assign(request, { prefix: trustProxy ? forwardedPrefix(request.headers) : '' })
      endUpgrade(request, reply)
      endRefused(request, reply, clock)
      sendProblem(error, request, reply)
    },
    clientErrorHandler: (error, socket) => order.refuse(socket, clientErrorCode(error))
  }
}
