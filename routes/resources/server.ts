/** What the server says of itself: /, /info, /ping, /livez, /readyz, /metrics, /problems, /openapi.yaml. */
import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { problemResponses } from '../../schemas/problem.js'
import { ref } from '../../schemas/ref.js'
import { Health, Info } from '../../schemas/server.js'
import { isOperator } from '../../src/access/permissions.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Store } from '../../src/store/store.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { API_VERSION } from '../eventstore/wire/api-version.js'
import { wantsBare } from '../http/error-handler.js'
import { browsersFirst } from '../http/html-page.js'
import { type ProblemKind, problemKinds } from '../wire/problems/problem.js'

/** The limits a client can meet. */
const SHOWN = [
  'event_bytes_max',
  'body_bytes_max',
  'batch_events_max',
  'stream_name_bytes_max',
  'type_bytes_max',
  'tags_max',
  'tag_bytes_max',
  'idempotency_key_chars_max',
  'json_depth_max',
  'conditions_max',
  'page_events_default',
  'page_events_max',
  'page_bytes_max',
  'scan_events_max',
  'expression_chars_max',
  'filter_values_max',
  'wait_seconds_max',
  'subscriptions_max',
  'consumers_max',
  'consumers_of_one_max',
  'credit_max',
  'batch_frame_events_max',
  'client_frame_bytes_max'
] as const

const PONG = { text: 'Ping request successfully handled', msgTypeId: 123, label: 'Http' }

/** The identities that the log had, oldest first, each with the last position that it shares with the log. */
function lineOf({ log }: Store) {
  return log.ancestors.map((ancestor) => ({ log: ancestor.log, upTo: log.validUpTo(ancestor.log) as number }))
}

export function serverRoutes(
  app: FastifyInstance,
  store: Store,
  atom: AtomDialect,
  { version, insecure }: { version: string; insecure: boolean }
): void {
  const anyone = { access: 'anyone', dialect: wantsBare } as const
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    done()
  })
  const info = () => ({
    name: 'daybook',
    version,
    log: store.status === 'open' ? store.log.id : null,
    ancestors: store.status === 'open' ? lineOf(store) : [],
    head: store.status === 'open' && store.log.head >= 0 ? store.log.head : null,
    esVersion: API_VERSION,
    state: 'leader',
    features: { projections: false, userManagement: !insecure, atomPub: true },
    authentication: { type: insecure ? 'insecure' : 'internal', properties: null },
    limits: Object.fromEntries(SHOWN.map((name) => [name, limits[name]])),
    links: {
      events: '/events',
      streams: '/streams',
      categories: '/categories',
      types: '/types',
      consumers: '/consumers',
      contract: '/openapi.yaml',
      metrics: '/metrics',
      ready: '/readyz'
    }
  })
  for (const [path, operationId] of [
    ['/', 'discover'],
    ['/info', 'getInfo']
  ] as const) {
    app.get(
      path,
      {
        config: anyone,
        ...(path === '/' && { onRequest: browsersFirst }),
        schema: {
          operationId,
          summary: 'Version, log identity, limits, links',
          tags: ['server'],
          response: { 200: { description: 'The server.', content: { 'application/json': { schema: ref(Info) } } } }
        }
      },
      async () => info()
    )
  }

  for (const [path, operationId, summary] of [
    ['/ping', 'ping', 'Answers'],
    ['/livez', 'isAlive', 'The process runs']
  ] as const) {
    app.get(
      path,
      {
        config: anyone,
        schema: {
          operationId,
          summary,
          tags: ['server'],
          response: { 200: { description: 'It does.', content: { 'application/json': { schema: ref(Health) } } } }
        }
      },
      // What the original says stands beside it (reference 20.1).
      async () => ({ status: 'ok', ...(path === '/ping' && PONG) })
    )
  }

  app.get(
    '/readyz',
    {
      config: anyone,
      schema: {
        operationId: 'isReady',
        summary: 'Reads and appends are served',
        tags: ['server'],
        response: {
          200: { description: 'Ready.', content: { 'application/json': { schema: ref(Health) } } },
          503: { description: 'Not ready, and why.', content: { 'application/json': { schema: ref(Health) } } }
        }
      }
    },
    async (_request, reply) => {
      const { status, readOnlyMode, clockWatch } = store
      if (status === 'open') {
        const clock = clockWatch.trouble
        return { ...(readOnlyMode.why ? { status: 'read-only', reason: readOnlyMode.why } : { status: 'ok' }), clock }
      }
      return reply.code(503).header('retry-after', '1').send({ status: store.status, reason: store.reason })
    }
  )

  app.get(
    '/metrics',
    {
      config: { access: 'reader' },
      schema: {
        operationId: 'getMetrics',
        summary: "What the server counts, in Prometheus' format",
        description: 'What is counted for each consumer is for operators and administrators.',
        tags: ['server'],
        response: { 200: { description: 'Metrics.', content: { 'text/plain': { schema: Type.String() } } } }
      }
    },
    async ({ principal }, reply) =>
      reply
        .header('content-type', store.metrics.registry.contentType)
        .send(await store.metrics.text(isOperator(principal)))
  )

  app.get('/openapi.yaml', { config: anyone, schema: { hide: true } }, async (_request, reply) =>
    reply.header('content-type', 'application/yaml; charset=utf-8').send(app.swagger({ yaml: true }))
  )

  app.get(
    '/problems/:code',
    {
      config: anyone,
      schema: {
        operationId: 'explainProblem',
        summary: 'What a problem code means',
        tags: ['server'],
        params: Type.Object({ code: Type.String() }),
        response: {
          200: { description: 'A page.', content: { 'text/plain': { schema: Type.String() } } },
          ...problemResponses(404)
        }
      }
    },
    async (request, reply) => {
      const { code } = request.params as { code: string }
      if (!Object.hasOwn(problemKinds, code))
        throw new DaybookError('not-found', `There is no problem "${code.slice(0, 60)}".`)
      const { title, status, help } = problemKinds[code as keyof typeof problemKinds] as ProblemKind
      return reply
        .header('content-type', 'text/plain; charset=utf-8')
        .send(`${title} (${code}, HTTP ${status})\n\n${help}\n`)
    }
  )
}
