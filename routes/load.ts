/** How much one address, and all of them together, may ask of the server. */
import type { Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import { DaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import { networkOf } from '../src/network.js'
import { endWithProblem } from './failures.js'

export interface LoadOptions {
  /** Connections that one address may have open; 0: any number. */
  readonly connectionsPerAddress: number
  /** Requests that one address may make a second; 0: any number. */
  readonly requestsPerSecond: number
  /** Later than this by so much, the server takes nothing more until it has caught up, milliseconds. */
  readonly eventLoopDelayMs: number
}

export async function limitLoad(app: FastifyInstance, options: LoadOptions): Promise<void> {
  const { connectionsPerAddress, requestsPerSecond, eventLoopDelayMs } = options
  if (connectionsPerAddress > 0) limitConnections(app, connectionsPerAddress)
  if (requestsPerSecond > 0) {
    // Loaded where it is used: on loopback it is not.
    await app.register(import('@fastify/rate-limit'), {
      max: requestsPerSecond,
      timeWindow: 1000,
      cache: limits.addresses_counted_max,
      keyGenerator: ({ ip }) => networkOf(ip),
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
  }
  await app.register(underPressure, {
    maxEventLoopDelay: eventLoopDelayMs,
    pressureHandler: ({ routeOptions }) => {
      // Whoever asks how it is gets an answer.
      if (routeOptions.config.access === 'anyone') return
      throw new DaybookError('overloaded', 'The server is later than it should be.', { retry: true })
    }
  })
}

/** Connections beyond the limit are told so and end. Behind a proxy all come from one address, which is its own. */
function limitConnections(app: FastifyInstance, most: number): void {
  const open = new Map<string, number>()
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
    // With TLS nothing can be said before the handshake.
    if (app.server instanceof TlsServer) socket.destroy()
    else endWithProblem(socket, 'too-many-requests')
  })
}
