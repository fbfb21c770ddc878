/** The HTTP application: Fastify with all its options, the hooks every request passes, and each resource by name. */
import { randomBytes } from 'node:crypto'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import Fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController
} from 'fastify'
import { DaybookError, type ErrorCode, isDaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import type { Store } from '../src/store.js'
import { eventRoutes } from './events.js'
import { listingRoutes } from './listings.js'
import { Reading } from './reading.js'
import { serverRoutes } from './server.js'
import { streamRoutes } from './streams.js'
import { namedSchemas, openApi } from './wire/openapi.js'
import { problemKinds, problemOf } from './wire/problem.js'
import { explain, queryAjv } from './wire/shape.js'

export interface AppOptions {
  /** Origins whose pages may write here, beside the server's own. */
  allowOrigins?: readonly string[]
  /** Names by which a loopback listener may be called, beside the local ones. Undefined: any (not a loopback). */
  hosts?: readonly string[] | undefined
  trustProxy?: boolean
  /** Immutable pages may be kept by shared caches. */
  publicCache?: boolean
  version?: string
  logLevel?: string
}

/** Builds the application over a store, which may still be opening. Tests and the server use this one function. */
export async function buildApp(store: Store, options: AppOptions = {}): Promise<FastifyInstance> {
  const app = Fastify({
    logger: { level: options.logLevel ?? 'warn' },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body_bytes_max,
    trustProxy: options.trustProxy ?? false,
    requestTimeout: limits.request_timeout_ms,
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    http: {
      headersTimeout: limits.headers_timeout_ms,
      connectionsCheckingInterval: 5_000,
      maxHeaderSize: 16_384,
      requireHostHeader: false
    },
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIds(),
    routerOptions: { maxParamLength: limits.url_bytes_max },
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
    clientErrorHandler(error, socket) {
      const code = CLIENT_ERRORS[(error as NodeJS.ErrnoException).code ?? ''] ?? 'bad-request'
      const { status, title, help } = problemKinds[code]
      const body = JSON.stringify({ type: `/problems/${code}`, code, title, status, detail: help })
      // A second answer inside one that has begun would be taken for a part of it: then cutting says more.
      const begun = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent
      if (!socket.writable || begun) return void socket.destroy()
      socket.end(
        `HTTP/1.1 ${status} ${title}\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
      )
    }
  })

  // One validator for queries and paths: text becomes numbers and lists, nothing is dropped. Bodies are checked by
  // the readers of routes/wire against the same schemas, from their bytes.
  app.setValidatorCompiler(({ schema, httpPart }) =>
    httpPart === 'body' ? () => true : queryAjv.compile(schema as object)
  )
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new DaybookError('not-found', `Nothing lives at ${request.url.split('?')[0]}.`), request, reply)
  )

  const closing = closeGracefully(app, store)
  // With `done` rather than async: a promise a hook a request would be felt.
  app.addHook('onRequest', (request, reply, done) => {
    if (closing.begun) reply.header('connection', 'close')
    reply.header('request-id', request.id)
    checkHost(request, options.hosts)
    checkOrigin(request, options.allowOrigins ?? [])
    done()
  })
  await app.register(cors, {
    origin: '*',
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    allowedHeaders:
      'Content-Type, If-Match, If-None-Match, Prefer, Last-Event-ID, Idempotency-Key, Event-Type, Event-Id, Event-Metadata, traceparent',
    exposedHeaders: 'ETag, Link, Location, Retry-After, Daybook-Head, Daybook-Log, Preference-Applied, Request-Id',
    maxAge: 600,
    strictPreflight: false
  })
  await app.register(compress, { global: false, threshold: 1024, encodings: ['br', 'gzip', 'deflate'] })
  for (const schema of namedSchemas) app.addSchema(schema)
  await app.register(swagger, openApi(options.version ?? '0.0.0'))

  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set()
    for (const one of [method].flat()) known.add(one)
    methods.set(url, known)
  })
  const reading = new Reading(store, options.publicCache ?? false)
  await app.register(async (data) => {
    data.addHook('onRequest', (_request, _reply, done) => {
      checkOpen(store)
      done()
    })
    await data.register(async (scope) => streamRoutes(scope, store, reading))
    await data.register(async (scope) => eventRoutes(scope, store, reading))
    await data.register(async (scope) => listingRoutes(scope, store))
  })
  await app.register(async (scope) => serverRoutes(scope, store, options.version ?? '0.0.0'))
  await app.register(async (rest) => refuseOtherMethods(rest, methods))
  app.server.on('checkExpectation', (_request, response) => {
    const { status, title, help } = problemKinds['expectation-failed']
    const problem = { type: '/problems/expectation-failed', code: 'expectation-failed', title, status, detail: help }
    const body = JSON.stringify(problem)
    response.writeHead(status, {
      'content-type': 'application/problem+json; charset=utf-8',
      'content-length': Buffer.byteLength(body)
    })
    response.end(body)
  })
  app.addHook('onClose', () => store.close())
  return app
}

/**
 * While the application closes, every answer is the last one of its connection, and connections that have fallen idle
 * are ended: a client that keeps asking on a kept-alive connection would otherwise hold the close for ever.
 */
function closeGracefully(app: FastifyInstance, { clock }: Store): { begun: boolean } {
  const closing = { begun: false }
  let cancel = () => {}
  const endIdle = () => {
    app.server.closeIdleConnections()
    cancel = clock.after(IDLE_LOOK_MS, endIdle)
  }
  app.addHook('preClose', async () => {
    closing.begun = true
    endIdle()
  })
  app.addHook('onClose', async () => cancel())
  return closing
}

/** Every known address answers its unknown methods with 405 and `Allow`. */
function refuseOtherMethods(app: FastifyInstance, known: ReadonlyMap<string, ReadonlySet<string>>): void {
  for (const [url, methods] of [...known]) {
    if (url === '*') continue
    const others = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !methods.has(method))
    const allow = [...methods, 'OPTIONS'].join(', ')
    if (others.length === 0) continue
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, payload, done) => {
      payload.resume()
      done(null)
    })
    app.route({
      method: others,
      url,
      schema: { hide: true },
      handler: (request, reply) => {
        reply.header('allow', allow)
        throw new DaybookError('method-not-allowed', `${request.method} is not one of ${allow}.`, {
          allow: allow.split(', ')
        })
      }
    })
  }
}

/** Ids of requests: the client's own when it is short and printable, else ours. */
function requestIds(): (raw: { headers: Record<string, string | string[] | undefined> }) => string {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return ({ headers }) => {
    const given = headers['request-id'] ?? headers['x-request-id']
    if (typeof given === 'string' && /^[\w.:/+=-]{1,128}$/.test(given)) return given
    return `${prefix}-${(++count).toString(36)}`
  }
}

const IDLE_LOOK_MS = 50
const LOCAL_HOST = /^(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i

function checkHost(request: FastifyRequest, hosts: readonly string[] | undefined): void {
  const { host } = request.headers
  if (host === undefined && request.raw.httpVersion === '1.1') {
    throw new DaybookError('bad-request', 'A request of HTTP/1.1 names its Host.')
  }
  if (hosts === undefined || host === undefined) return
  if (LOCAL_HOST.test(host) || hosts.includes(host.replace(/:\d+$/, '').toLowerCase())) return
  throw new DaybookError(
    'host-refused',
    `This server listens on loopback and does not answer to "${host.slice(0, 100)}".`
  )
}

function checkOpen({ status, reason }: Store): void {
  if (status === 'open') return
  throw new DaybookError(status === 'closed' ? 'stopping' : 'starting', `Not ready: ${reason}.`, {
    reason,
    retry: true
  })
}

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

function checkOrigin(request: FastifyRequest, allowed: readonly string[]): void {
  const { origin, host } = request.headers
  if (origin === undefined || SAFE.has(request.method)) return
  if (allowed.includes(origin) || allowed.includes('*')) return
  if (URL.canParse(origin) && new URL(origin).host === host) return
  throw new DaybookError('origin-refused', `A page of ${origin.slice(0, 200)} may not write here.`, {
    written: false,
    retry: false
  })
}

const CLIENT_ERRORS: Record<string, ErrorCode> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large'
}

/** Fastify's own refusals in our words. */
const FRAMEWORK_ERRORS: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-json',
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri-too-long',
  FST_ERR_ASYNC_CONSTRAINT: 'bad-request'
}

function asDaybookError(error: Error): DaybookError {
  if (isDaybookError(error)) return error
  const { validation, validationContext, code = '', statusCode } = error as FastifyError
  const [first] = validation ?? []
  if (first !== undefined) {
    const known = Object.keys((first as { parentSchema?: { properties?: object } }).parentSchema?.properties ?? {})
    const unknown = first.keyword === 'additionalProperties'
    const detail = explain(first as Parameters<typeof explain>[0], known)
    return new DaybookError(unknown ? 'unknown-parameter' : 'bad-parameter', detail, {
      parameter: unknown ? first.params.additionalProperty : first.instancePath.slice(1).split('/')[0],
      in: validationContext
    })
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = limits.body_bytes_max
    return new DaybookError('body-too-large', `A body has at most ${limit} bytes.`, { limit }, error)
  }
  const known = FRAMEWORK_ERRORS[code]
  if (known !== undefined) return new DaybookError(known, error.message, {}, error)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new DaybookError('bad-request', error.message, {}, error)
  return new DaybookError('internal', error.message, {}, error)
}

function sendProblem(raw: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = asDaybookError(raw)
  const problem = problemOf(error, request.id)
  if (problem.status === 500) request.log.error({ err: error.cause ?? error, code: error.code }, error.message)
  if (problem.status === 503 || problem.status === 507) reply.header('retry-after', '1')
  if (problem.status === 404) reply.header('cache-control', 'no-store')
  reply.code(problem.status).header('content-type', 'application/problem+json; charset=utf-8')
  return reply.send(JSON.stringify(problem))
}
