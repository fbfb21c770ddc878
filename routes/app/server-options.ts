/** How Fastify and node's server are set up: limits of requests, TLS, the log, and what is answered where no route is. */
import { type FastifyServerOptions, LogController } from 'fastify'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { takeTicket } from '../auth/ticket-parameter.js'
import { endRefused, lingerAndClose } from '../http/connections/lingering-close.js'
import { clientErrorCode, endWithProblem, sendProblem } from '../http/error-handler.js'
import { requestIds } from '../http/request-id.js'
import { endUpgrade, UpgradableMessage } from '../live/websocket.js'
import { forwardedPrefix } from '../wire/forwarded.js'
import { TLS } from './tls.js'

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
  const http = {
    headersTimeout: limits.headers_timeout_ms,
    connectionsCheckingInterval: 5_000,
    maxHeaderSize: 16_384,
    IncomingMessage: UpgradableMessage,
    requireHostHeader: false
  }
  return {
    // The type of a server with TLS is another one; what we ask of it is the same.
    ...(tls === undefined
      ? { http }
      : ({ https: { ...http, handshakeTimeout: limits.headers_timeout_ms, ...TLS, ...tls } } as object)),
    logger: { level: logLevel, ...(logTo && { stream: logTo }) },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body_bytes_max,
    // One hop: what a client says of itself stands before what the proxy adds.
    trustProxy: trustProxy ? (_address, hop) => hop === 0 : false,
    requestTimeout: 0, // a streamed write takes as long as it takes; other bodies are cut by cutSlowBodies
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIds(),
    rewriteUrl: takeTicket,
    routerOptions: { maxParamLength: limits.url_bytes_max },
    frameworkErrors: (error, request, reply) => {
      // It has no decorations: it never came to a route.
      Object.assign(request, { prefix: trustProxy ? forwardedPrefix(request.headers) : '' })
      endUpgrade(request, reply)
      endRefused(request, reply, clock)
      sendProblem(error, request, reply)
    },
    clientErrorHandler: (error, socket) => {
      endWithProblem(socket, clientErrorCode(error))
      lingerAndClose(socket, clock)
    }
  }
}
