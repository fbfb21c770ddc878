/** Limits of open connections: per client address, and in total. */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { networkOf } from '../../../src/network.js'
import type { Clock } from '../../../src/time/clock.js'
import { endWithProblem } from '../error-handler.js'
import { OpenConnections } from './open-connections.js'

/**
 * Limits the open connections to `most`. A further connection closes the one that has been idle for longest; when all
 * are in use, the new one is closed.
 * @param onClosed called for each connection that is closed because of the limit
 * @returns the open connections
 */
export function limitAllConnections(
  app: FastifyInstance,
  most: number,
  clock: Clock,
  onClosed: () => void
): OpenConnections {
  const open = new OpenConnections(most, clock, onClosed)
  app.server.on('connection', (socket: Socket) => open.add(socket))
  app.server.on('secureConnection', (socket: Socket) => open.secured(socket))
  app.server.on('request', ({ socket }: IncomingMessage) => open.requested(socket))
  app.server.on('upgrade', ({ socket }: IncomingMessage) => open.upgraded(socket))
  return open
}

/** Ends connections of one address beyond the limit with a problem. Behind a proxy, all have the proxy's address. */
export function limitConnectionsOfOne(app: FastifyInstance, most: number, clock: Clock): void {
  const open = new Map<string, number>()
  const refused = new RefusedConnections(clock)
  app.server.on('connection', (socket: Socket) => {
    if (socket.destroyed) return
    const network = networkOf(socket.remoteAddress ?? '')
    const count = open.get(network) ?? 0
    if (count >= most) {
      // With TLS nothing can be sent before the handshake.
      if (app.server instanceof TlsServer) socket.destroy()
      else refused.add(socket)
      return
    }
    open.set(network, count + 1)
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1
      if (left > 0) open.set(network, left)
      else open.delete(network)
    })
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (!refused.has(request.raw.socket)) return done()
    reply.header('connection', 'close')
    throw new DaybookError(
      'too-many-connections',
      `This address has too many open connections. The limit is ${most} per address.`,
      { limit: most }
    )
  })
}

/**
 * Connections beyond the limit of their address. Each stays open for `refused_connection_ms` to receive its first
 * request, because the form of the refusal depends on the request: an event stream is refused differently from a page.
 * Then it is ended.
 */
class RefusedConnections {
  readonly #clock: Clock
  readonly #all = new WeakSet<Socket>()
  #waiting = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(socket: Socket): void {
    this.#all.add(socket)
    if (this.#waiting >= limits.refused_connections_max) {
      this.#end(socket)
      return
    }
    this.#waiting++
    const cancel = this.#clock.after(limits.refused_connection_ms, () => this.#end(socket))
    socket.once('close', () => {
      this.#waiting--
      cancel()
    })
  }

  has(socket: Socket): boolean {
    return this.#all.has(socket)
  }

  #end(socket: Socket): void {
    endWithProblem(socket, 'too-many-connections')
    socket.destroySoon()
  }
}
