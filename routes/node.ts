/**
 * What clients of EventStoreDB ask a node about itself (reference 20), as far as a single node can answer truthfully.
 * Parts that are not built yet say so.
 */
import { randomUUID } from 'node:crypto'
import { freemem, loadavg, totalmem } from 'node:os'
import type { FastifyInstance } from 'fastify'
import type { Store } from '../src/store.js'
import { caching } from './dialect-answer.js'
import { checkOpen } from './guards.js'
import { API_VERSION } from './server.js'
import { notYet } from './wire/media-types.js'

export function nodeRoutes(app: FastifyInstance, store: Store): void {
  const instance = randomUUID()
  const hidden = { schema: { hide: true } }

  app.get('/gossip', hidden, async (request, reply) => {
    checkOpen(store)
    const { localAddress = '127.0.0.1', localPort = 0 } = request.raw.socket
    const end = Math.max(0, store.log.head + 1)
    reply.header('cache-control', caching.never).header('vary', 'Accept')
    return {
      members: [
        {
          instanceId: instance,
          timeStamp: new Date(store.clock.now()).toISOString(),
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
          lastCommitPosition: store.log.head,
          writerCheckpoint: end,
          chaserCheckpoint: end,
          epochPosition: 0,
          epochNumber: 0,
          epochId: store.log.id,
          nodePriority: 0,
          isReadOnlyReplica: false,
          esVersion: API_VERSION
        }
      ],
      serverIp: localAddress,
      serverPort: localPort
    }
  })

  app.get('/stats', hidden, async (_request, reply) => {
    checkOpen(store)
    reply.header('cache-control', 'max-age=1, public').header('vary', 'Accept')
    const [one, five, fifteen] = loadavg()
    const length = store.writer.queued
    const writer = { queueName: 'Writer', groupName: '', length }
    return {
      proc: { id: process.pid, mem: process.memoryUsage.rss() },
      sys: { freeMem: freemem(), totalMem: totalmem(), loadavg: { '1m': one, '5m': five, '15m': fifteen } },
      es: { checksum: Math.max(0, store.log.head + 1), queue: { writer } }
    }
  })

  app.get('/health/live', hidden, (_request, reply) => reply.code(204).send())

  for (const [method, url, what] of [
    ['GET', '/projections/any', 'Projections'],
    ['GET', '/subscriptions', 'Persistent subscriptions'],
    ['POST', '/admin/scavenge', 'Scavenging']
  ] as const) {
    app.route({
      method,
      url,
      ...hidden,
      handler: () => {
        throw notYet(what)
      }
    })
  }
}
