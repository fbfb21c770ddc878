/** Limits of connections and requests for each address, and of the load that all of them make together. */
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { networkOf } from '../../src/network.js'
import { endWithProblem } from './error-handler.js'

export interface LoadOptions {
  /** Connections that one address may have open; 0: any number. */
  readonly connectionsPerAddress: number
  /** Requests that one address may make a second; 0: any number. */
  readonly requestsPerSecond: number
  /** Delay of the event loop, milliseconds, above which requests are refused. */
  readonly eventLoopDelayMs: number
}

const PROBES = new Set(['/livez', '/readyz', '/ping', '/health/live'])

export async function limitLoad(app: FastifyInstance, options: LoadOptions): Promise<void> {
  const { connectionsPerAddress, requestsPerSecond, eventLoopDelayMs } = options
  if (connectionsPerAddress > 0) limitConnections(app, connectionsPerAddress)
  if (requestsPerSecond > 0) {
    // Loaded where it is used: on loopback it is not.
    await app.register(import('@fastify/rate-limit'), {
      global: false,
      max: requestsPerSecond,
      timeWindow: 1000,
      cache: limits.addresses_counted_max,
      keyGenerator: ({ ip }) => networkOf(ip),
      // Monitoring must not be refused.
      allowList: ({ routeOptions }) => PROBES.has(routeOptions.url ?? ''),
      addHeaders: {
        'x-ratelimit-limit': false,
        'x-ratelimit-remaining': false,
        'x-ratelimit-reset': false,
        'retry-after': false
      },
      addHeadersOnExceeding: {
        'x-ratelimit-limit': false,
        'x-ratelimit-remaining': false,
        'x-ratelimit-reset': false
      },
      errorResponseBuilder: () =>
        new DaybookError('too-many-requests', `One address may make ${requestsPerSecond} requests a second.`, {
          limit: requestsPerSecond,
          retry: true,
          retryAfter: 1
        })
    })
    // Before the sign-in, which costs more; also where no route answers.
    app.addHook('onRequest', app.rateLimit())
  }
  await app.register(underPressure, {
    maxEventLoopDelay: eventLoopDelayMs,
    pressureHandler: ({ routeOptions }) => {
      if (PROBES.has(routeOptions.url ?? '')) return
      throw new DaybookError('overloaded', 'The event loop is behind: more is asked than can be answered.', {
        retry: true
      })
    }
  })
}

/** Ends connections beyond the limit with a problem. Behind a proxy all count as one address, the proxy's. */
function limitConnections(app: FastifyInstance, most: number): void {
  const open = new Map<string, number>()
  const refused = new WeakSet<Socket>()
  app.server.on('connection', (socket: Socket) => {
    const network = networkOf(socket.remoteAddress ?? '')
    const count = (open.get(network) ?? 0) + 1
    open.set(network, count)
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1
      if (left > 0) open.set(network, left)
      else open.delete(network)
    })
    if (count <= most) return
    // With TLS nothing can be sent before the handshake.
    if (app.server instanceof TlsServer) return socket.destroy()
    // Requests that it has sent by now come to the hook below.
    refused.add(socket)
    endWithProblem(socket, 'too-many-connections')
    socket.destroySoon()
  })
  app.addHook('onRequest', (request, _reply, done) => {
    if (!refused.has(request.raw.socket)) return done()
    throw new DaybookError('too-many-connections', `One address may have ${most} connections open.`, { limit: most })
  })
}
