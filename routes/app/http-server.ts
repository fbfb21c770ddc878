/** Creates node's server: its limits, its TLS options, and the handling of its events. */
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
  requestTimeout: 0, // streamed writes have no time limit; limitBodyTimes limits all other bodies
  IncomingMessage: UpgradableMessage,
  requireHostHeader: false
}

/** Creates the server. @param tls the certificate and its key, as PEM; undefined: plain HTTP */
export function httpServer(
  tls: { readonly cert: string; readonly key: string } | undefined,
  handle: RequestListener,
  clock: Clock
): Server {
  const server =
    tls === undefined
      ? createHttp(OPTIONS, handle)
      : createHttps({ ...OPTIONS, handshakeTimeout: limits.headers_timeout_ms, ...TLS, ...tls } as object, handle)
  // A client that ends its side of the connection after its request still gets the response. The option is private to
  // node.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    // With TLS, set it only after the handshake: a probe that connects and leaves without one is closed at once.
    socket.allowHalfOpen = true
    endHalfClosed(socket, clock)
  })
  // Without listeners, node would send `100 Continue` or 417 before the request is checked.
  for (const event of ['checkContinue', 'checkExpectation']) {
    server.on(event, (request, response) => server.emit('request', request, response))
  }
  return server
}
