/** Limits of connections and requests for each address, and of the load that all of them make together. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Metrics } from '../../../src/metrics.js'
import { networkOf } from '../../../src/network.js'
import type { Clock } from '../../../src/time/clock.js'
import { limitAllConnections, limitConnectionsOfOne } from './connection-limits.js'
import { limitInFlight } from './requests-in-flight.js'

export interface LoadOptions {
  /** Connections that may be open together. */
  readonly connections: number
  /** Connections that one address may have open, at most half of all; 0: any number. */
  readonly connectionsPerAddress: number
  /** Requests that one address may make a second; 0: any number. */
  readonly requestsPerSecond: number
  /** Requests that may be worked on at the same time. */
  readonly requestsInFlight: number
}

export interface LoadParts {
  readonly clock: Clock
  readonly metrics: Metrics
}

const PROBES = new Set(['/livez', '/readyz', '/ping', '/health/live'])

export async function limitLoad(app: FastifyInstance, parts: LoadParts, options: LoadOptions): Promise<void> {
  const { connections, connectionsPerAddress, requestsPerSecond, requestsInFlight } = options
  const open = limitAllConnections(app, connections, parts.clock, () => parts.metrics.connectionClosed())
  parts.metrics.gauge('daybook_connections', 'Open connections', () => open.size)
  if (connectionsPerAddress > 0) {
    // One address must not keep all others out.
    limitConnectionsOfOne(app, Math.min(connectionsPerAddress, Math.ceil(connections / 2)), parts.clock)
  }
  if (requestsPerSecond > 0) await limitRequests(app, requestsPerSecond)
  limitInFlight(app, requestsInFlight, isProbe)
}

/** Monitoring must not be refused. The address is compared as it was sent: `routeOptions` makes an object each time. */
function isProbe({ url }: FastifyRequest): boolean {
  const end = url.indexOf('?')
  return PROBES.has(end === -1 ? url : url.slice(0, end))
}

async function limitRequests(app: FastifyInstance, requestsPerSecond: number): Promise<void> {
  // Loaded where it is used: on loopback it is not.
  await app.register(import('@fastify/rate-limit'), {
    global: false,
    max: requestsPerSecond,
    timeWindow: 1000,
    cache: limits.addresses_counted_max,
    keyGenerator: ({ ip }) => networkOf(ip),
    allowList: isProbe,
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
