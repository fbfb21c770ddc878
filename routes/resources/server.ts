/** Information about the server: /, /info, /ping, /livez, /readyz, /metrics, /problems, /openapi.yaml. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { serverOperations } from '../../schemas/operations/server-operations.js'
import { isOperator } from '../../src/access/permissions.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import type { Log } from '../../src/log/log.js'
import type { ReadOnlyMode } from '../../src/log/read-only-mode.js'
import type { MemoryBudget } from '../../src/memory/memory-budget.js'
import type { MemoryShare } from '../../src/memory/memory-share.js'
import type { Metrics } from '../../src/metrics.js'
import type { ClockWatch } from '../../src/time/clock-watch.js'
import { isReader, type RightsParts } from '../auth/caller-rights.js'
import type { AtomDialect } from '../eventstore/atom-dialect.js'
import { API_VERSION } from '../eventstore/wire/api-version.js'
import { wantsDialectRefusal } from '../http/error-handler.js'
import { browsersFirst } from '../http/html-page.js'
import { type ProblemKind, problemKinds } from '../wire/problems/problem.js'

/** The limits that are relevant to clients. */
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
  'expression_size_max',
  'filter_values_max',
  'wait_seconds_max',
  'subscriptions_max',
  'socket_subscriptions_max',
  'consumers_max',
  'consumers_of_one_max',
  'credit_max',
  'batch_frame_events_max',
  'client_frame_bytes_max'
] as const

/** The addresses in the links of `/` and `/info`. */
const PLACES = [
  ['events', '/events'],
  ['streams', '/streams'],
  ['categories', '/categories'],
  ['types', '/types'],
  ['consumers', '/consumers'],
  ['contract', '/openapi.yaml'],
  ['metrics', '/metrics'],
  ['ready', '/readyz']
] as const

const PONG = { text: 'Ping request successfully handled', msgTypeId: 123, label: 'Http' }

/** The parts of the store that the server routes use. Read per request: the store may still be opening. */
export interface ServerRouteParts extends Pick<RightsParts, 'rules'> {
  /** `open` if the server accepts reads and appends. */
  readonly status: string
  /** The reason, if the store is not open. */
  readonly reason: string
  readonly log: Log
  readonly readOnlyMode: ReadOnlyMode
  readonly clockWatch: ClockWatch
  readonly metrics: Metrics
  readonly memory: MemoryBudget
}

/** The options of the server that /info shows. */
export interface InfoOptions {
  readonly version: string
  /** Whether authentication is switched off. */
  readonly insecure: boolean
}

export function serverRoutes(
  app: FastifyInstance,
  parts: ServerRouteParts,
  atom: AtomDialect,
  options: InfoOptions
): void {
  app.addHook('preHandler', (request, reply, done) => {
    atom.begin(request, reply)
    done()
  })
  const { discover, info, ping, alive, ready, metrics, contract, explainProblem } = serverOperations
  const config = { access: 'anyone', dialect: wantsDialectRefusal } as const
  app.get('/', { config, onRequest: browsersFirst, schema: discover }, async (request) =>
    showInfo(parts, request, options)
  )
  app.get('/info', { config, schema: info }, async (request) => showInfo(parts, request, options))
  // Includes the members of EventStoreDB's response (reference 20.1).
  app.get('/ping', { config, schema: ping }, async () => ({ status: 'ok', ...PONG }))
  app.get('/livez', { config, schema: alive }, async () => ({ status: 'ok' }))
  app.get('/readyz', { config, schema: ready }, async (_request, reply) => showHealth(parts, reply))
  app.get('/metrics', { config: { access: 'reader' }, schema: metrics }, (request, reply) =>
    sendMetrics(parts, request, reply)
  )
  app.get('/openapi.yaml', { config, schema: contract }, async (request, reply) => {
    const text = contractAt(app.swagger({ yaml: true }), atom.trustProxy ? atom.baseOf(request) : undefined)
    return reply.header('content-type', 'application/yaml; charset=utf-8').send(text)
  })
  app.get('/problems/:code', { config, schema: explainProblem }, async (request, reply) => sendHelp(request, reply))
}

function showInfo(
  parts: ServerRouteParts,
  { principal, prefix }: FastifyRequest,
  { version, insecure }: InfoOptions
): object {
  const { status, log, memory } = parts
  const isOpen = status === 'open'
  const showsLength = isOpen && isReader(parts, principal)
  return {
    name: 'daybook',
    version,
    log: isOpen ? log.id : null,
    ancestors: showsLength ? ancestorsOf(log) : [],
    head: showsLength && log.head >= 0 ? log.head : null,
    esVersion: API_VERSION,
    state: 'leader',
    features: { projections: false, userManagement: !insecure, atomPub: true },
    authentication: { type: insecure ? 'insecure' : 'internal', properties: null },
    limits: Object.fromEntries(SHOWN.map((name) => [name, limits[name]])),
    memory: {
      budget: memory.bytes,
      bodies: useOf(memory.bodies),
      appends: useOf(memory.appends),
      reads: useOf(memory.reads),
      largeReads: useOf(memory.largeReads)
    },
    links: Object.fromEntries(PLACES.map(([name, path]) => [name, prefix + path]))
  }
}

/** Returns the contract with the public address of the server. @param base undefined: keeps the local address */
function contractAt(text: string, base: string | undefined): string {
  if (base === undefined) return text
  return text.replace(/^servers:\n(?: .*\n)+/m, () => `servers:\n  - url: ${JSON.stringify(base)}\n`)
}

function useOf({ used, bytes, waiting }: MemoryShare): object {
  return { used, limit: bytes, waiting }
}

/** Returns earlier identities of the log, oldest first, each with the last position that it shares with the log. */
function ancestorsOf(log: Log) {
  return log.ancestors.map((ancestor) => ({ log: ancestor.log, upTo: log.validUpTo(ancestor.log) as number }))
}

function showHealth({ status, reason, readOnlyMode, clockWatch }: ServerRouteParts, reply: FastifyReply): object {
  if (status === 'open') {
    const clock = clockWatch.trouble
    return { ...(readOnlyMode.why ? { status: 'read-only', reason: readOnlyMode.why } : { status: 'ok' }), clock }
  }
  return reply.code(503).header('retry-after', '1').send({ status, reason })
}

async function sendMetrics(
  { metrics }: ServerRouteParts,
  { principal }: FastifyRequest,
  reply: FastifyReply
): Promise<FastifyReply> {
  const text = await metrics.text(isOperator(principal))
  return reply.header('content-type', metrics.registry.contentType).send(text)
}

/** Responds with the help text of a problem code. @throws `not-found` */
function sendHelp({ params }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { code } = params as { code: string }
  if (!Object.hasOwn(problemKinds, code))
    throw new DaybookError('not-found', `There is no problem "${code.slice(0, 60)}".`)
  const { title, status, help } = problemKinds[code as keyof typeof problemKinds] as ProblemKind
  return reply
    .header('content-type', 'text/plain; charset=utf-8')
    .send(`${title} (${code}, HTTP ${status})\n\n${help}\n`)
}
