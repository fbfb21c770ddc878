/** Limits of connections and requests, per client address and in total. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import type { Metrics } from '../../../src/metrics.js'
import { networkOf } from '../../../src/network.js'
import type { Clock } from '../../../src/time/clock.js'
import { limitAllConnections, limitConnectionsOfOne } from './connection-limits.js'
import { limitInFlight } from './requests-in-flight.js'

export interface LoadOptions {
  /** Limit of open connections in total. */
  readonly connections: number
  /** Limit of open connections per address, capped at half of `connections`; 0: no limit. */
  readonly connectionsPerAddress: number
  /** Limit of requests per second and address; 0: no limit. */
  readonly requestsPerSecond: number
  /** Limit of concurrent requests in total. */
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
    // Half at most: one address must not use up all connections.
    limitConnectionsOfOne(app, Math.min(connectionsPerAddress, Math.ceil(connections / 2)), parts.clock)
  }
  if (requestsPerSecond > 0) await limitRequests(app, requestsPerSecond)
  limitInFlight(app, requestsInFlight, isProbe)
}

/** Returns true for health probes, which are never refused. Uses `url`, since `routeOptions` allocates an object. */
function isProbe({ url }: FastifyRequest): boolean {
  const end = url.indexOf('?')
  return PROBES.has(end === -1 ? url : url.slice(0, end))
}

async function limitRequests(app: FastifyInstance, requestsPerSecond: number): Promise<void> {
  // Imported on demand: a loopback listener does not use it.
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
      new DaybookError(
        'too-many-requests',
        `This address sends too many requests. The limit is ${requestsPerSecond} per second and address.`,
        {
          limit: requestsPerSecond,
          retry: true,
          retryAfter: 1
        }
      )
  })
  // Runs before the sign-in, which costs more, and also for requests without a route.
  app.addHook('onRequest', app.rateLimit())
}
