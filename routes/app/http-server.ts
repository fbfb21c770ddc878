/** Node's server: its limits, TLS, and which of node's events are requests. */
import { createServer as createHttp, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttps } from 'node:https'
import type { Socket } from 'node:net'
import { limits } from '../../src/limits.js'
import type { Clock } from '../../src/time/clock.js'
import { endHalfClosed } from '../http/connections/client-gone.js'
import { UpgradableMessage } from '../live/websocket/websocket.js'
import { TLS } from './tls.js'

const OPTIONS: ServerOptions<typeof UpgradableMessage> = {
  headersTimeout: limits.headers_timeout_ms,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16_384,
  keepAliveTimeout: 72_000,
  requestTimeout: 0, // a streamed write takes as long as it takes; other bodies are cut by cutSlowBodies
  IncomingMessage: UpgradableMessage,
  requireHostHeader: false
}

/** @param tls the certificate and its key, as PEM; undefined: plain HTTP */
export function httpServer(
  tls: { readonly cert: string; readonly key: string } | undefined,
  handle: RequestListener,
  clock: Clock
): Server {
  const server =
    tls === undefined
      ? createHttp(OPTIONS, handle)
      : createHttps({ ...OPTIONS, handshakeTimeout: limits.headers_timeout_ms, ...TLS, ...tls } as object, handle)
  // A client that ends its side of the connection after its request still reads the response. Node's own name for it.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    // Over TLS from here on: whoever connects and leaves without a handshake, as probes do, is gone.
    socket.allowHalfOpen = true
    endHalfClosed(socket, clock)
  })
  // Node would send `100 Continue`, or 417, before anything of the request is looked at.
  for (const event of ['checkContinue', 'checkExpectation']) {
    server.on(event, (request, response) => server.emit('request', request, response))
  }
  return server
}
