/**
 * The routes by which clients of EventStoreDB read a node's state (reference 20), as far as they apply to a single
 * node. Routes of parts that are not built yet answer 501.
 */
import { randomUUID } from 'node:crypto'
import { freemem, loadavg, totalmem } from 'node:os'
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Log } from '../../src/log/log.js'
import type { Metrics } from '../../src/metrics.js'
import type { Clock } from '../../src/time/clock.js'
import type { Writer } from '../../src/writing/writer.js'
import type { Requirement } from '../auth/authorization.js'
import { isReader, type RightsParts } from '../auth/caller-rights.js'
import { wantsDialectRefusal } from '../http/error-handler.js'
import { checkOpen } from '../http/store-open-check.js'
import type { Live } from '../live/live.js'
import { SOCKET_SOURCE } from '../live/websocket/socket-readers.js'
import { emptySocket } from '../live/websocket/websocket.js'
import { notYet } from '../wire/media-types.js'
import type { AtomDialect } from './atom-dialect.js'
import { caching } from './reply.js'
import { API_VERSION } from './wire/api-version.js'
import { sendAsIs, sendEmpty } from './wire/send.js'

/** The parts of the store that node information uses. */
export interface NodeParts extends Pick<RightsParts, 'rules'> {
  readonly log: Log
  readonly clock: Clock
  readonly writer: Writer
  readonly metrics: Metrics
  readonly status: string
  readonly reason: string
}

export function nodeRoutes(app: FastifyInstance, parts: NodeParts, atom: AtomDialect, live: Live): void {
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    done()
  })
  const instance = randomUUID()
  app.get('/gossip', hidden('anyone'), async (request, reply) => gossip(parts, instance, request, reply))
  app.get('/stats', hidden('reader'), async (_request, reply) => stats(parts, reply))
  // Subsystems are optional parts such as projections, which are not built yet.
  app.get('/sys/subsystems', hidden('operator'), async () => [])
  // There are no EventStoreDB TCP connections, so any cache may store the empty list. No other statistics exist.
  app.get('/stats/tcp', hidden('reader'), async (_request, reply) => {
    reply.header('cache-control', 'max-age=1, public').header('vary', 'Accept')
    return []
  })
  app.get('/stats/*', hidden('reader'), (_request, reply) => sendEmpty(reply, 404, 'Not Found'))
  app.get('/histogram/:name', hidden('operator'), (_request, reply) => sendAsIs(reply, 404, 'Not found', {}, ''))
  app.get('/health/live', hidden('anyone'), (_request, reply) => reply.code(204).send())

  for (const [method, url, feature, access] of NOT_BUILT) {
    const described = hidden(access)
    const socket = method === 'GET' && url === SOCKET_SOURCE ? emptySocket(live, access) : undefined
    app.route({
      method,
      url,
      ...described,
      ...socket,
      config: { ...described.config, ...socket?.config },
      handler: () => {
        throw notYet(feature)
      }
    })
  }
}

function hidden(access: Requirement) {
  // WebSocket upgrades belong to the native form.
  const dialect = (request: FastifyRequest) => !request.ws && wantsDialectRefusal(request)
  return { config: { access, dialect }, schema: { hide: true } }
}

/** Returns the members of the cluster: only this node. @param instance the id of this process */
function gossip(parts: NodeParts, instance: string, request: FastifyRequest, reply: FastifyReply): object {
  checkOpen(parts)
  const { localAddress = '127.0.0.1', localPort = 0 } = request.raw.socket
  const { log, clock } = parts
  // Only readers may learn how many events there are. Clients choose a node without that number.
  const head = isReader(parts, request.principal) ? log.head : -1
  const end = head + 1
  reply.header('cache-control', caching.never).header('vary', 'Accept')
  const member = {
    instanceId: instance,
    timeStamp: new Date(clock.now()).toISOString(),
    state: 'Leader',
    isAlive: true,
    internalTcpIp: localAddress,
    internalTcpPort: 0,
    internalSecureTcpPort: 0,
    externalTcpIp: localAddress,
    externalTcpPort: 0,
    externalSecureTcpPort: 0,
    httpEndPointIp: localAddress,
    httpEndPointPort: localPort,
    lastCommitPosition: head,
    writerCheckpoint: end,
    chaserCheckpoint: end,
    epochPosition: 0,
    epochNumber: 0,
    epochId: log.id,
    nodePriority: 0,
    isReadOnlyReplica: false,
    esVersion: API_VERSION
  }
  return { members: [member], serverIp: localAddress, serverPort: localPort }
}

async function stats(parts: NodeParts, reply: FastifyReply): Promise<object> {
  checkOpen(parts)
  reply.header('cache-control', 'max-age=1, private').header('vary', 'Accept, Authorization')
  const [one, five, fifteen] = loadavg()
  const writer = await writerQueue(parts)
  return {
    proc: { id: process.pid, mem: residentBytes() },
    sys: { freeMem: freemem(), totalMem: totalmem(), loadavg: { '1m': one, '5m': five, '15m': fifteen } },
    es: { checksum: Math.max(0, parts.log.head + 1), queue: { writer } }
  }
}

/** Returns the queue of appends in EventStoreDB's format (reference 20.3). Averages cover the time since the start. */
async function writerQueue({ writer, metrics }: NodeParts): Promise<object> {
  const { queued: length, mostQueued } = writer
  const { appends, seconds } = await metrics.appendTotals()
  const uptime = process.uptime()
  return {
    queueName: 'Writer',
    groupName: '',
    avgItemsPerSecond: Math.round(appends / uptime),
    avgProcessingTime: appends === 0 ? 0 : (seconds / appends) * 1000,
    currentIdleTime: null,
    currentItemProcessingTime: null,
    idleTimePercent: Math.max(0, 100 - (seconds / uptime) * 100),
    length,
    lengthCurrentTryPeak: length,
    lengthLifetimePeak: mostQueued,
    totalItemsProcessed: appends,
    inProgressMessage: length === 0 ? '<none>' : 'Append',
    lastProcessedMessage: appends === 0 ? '<none>' : 'Append'
  }
}

/** Returns the resident memory in bytes; 0 when it cannot be read because no file descriptor is free. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss()
  } catch {
    return 0
  }
}

const GROUPS = 'Persistent subscriptions'
const PROJECTIONS = 'Projections'
const MAINTENANCE = 'This part of administration'

/** Routes of EventStoreDB that are not built yet. They require the same rights as in EventStoreDB (reference 14.5). */
const NOT_BUILT: readonly [method: HTTPMethods, url: string, feature: string, access: Requirement][] = [
  ['GET', '/projections/any', PROJECTIONS, 'reader'],
  ['GET', '/projection/:name/state', PROJECTIONS, 'reader'],
  ['POST', '/projections/onetime', PROJECTIONS, 'operator'],
  ['POST', '/projections/restart', PROJECTIONS, 'operator'],
  ['GET', '/subscriptions', GROUPS, 'reader'],
  ['POST', '/subscriptions/restart', GROUPS, 'operator'],
  ['GET', '/subscriptions/:stream', GROUPS, 'reader'],
  ['GET', '/subscriptions/:stream/:group/info', GROUPS, 'reader'],
  ['PUT', '/subscriptions/:stream/:group', GROUPS, 'operator'],
  ['POST', '/subscriptions/:stream/:group', GROUPS, 'operator'],
  ['DELETE', '/subscriptions/:stream/:group', GROUPS, 'operator'],
  ['GET', '/subscriptions/:stream/:group', GROUPS, 'signedIn'],
  ['GET', '/subscriptions/:stream/:group/:count', GROUPS, 'signedIn'],
  ['POST', '/subscriptions/:stream/:group/ack/:id', GROUPS, 'signedIn'],
  ['POST', '/subscriptions/:stream/:group/nack/:id', GROUPS, 'signedIn'],
  ['POST', '/subscriptions/:stream/:group/replayParked', GROUPS, 'operator'],
  ['GET', '/subscriptions/viewparkedmessages/:stream/:group/:from/:direction/:count', GROUPS, 'reader'],
  ['POST', '/admin/scavenge', 'Scavenging', 'operator'],
  ['GET', '/admin/scavenge/current', 'Scavenging', 'operator'],
  ['DELETE', '/admin/scavenge/:id', 'Scavenging', 'operator'],
  ['POST', '/admin/mergeindexes', MAINTENANCE, 'operator'],
  ['POST', '/admin/node/priority/:priority', MAINTENANCE, 'operator'],
  ['POST', '/admin/node/resign', MAINTENANCE, 'operator']
]
