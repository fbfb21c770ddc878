/** The HTTP application: Fastify with all its options, the hooks every request passes, and each resource by name. */
import { randomBytes } from 'node:crypto'
import compress from '@fastify/compress'
import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyError, type FastifyInstance, LogController } from 'fastify'
import { DaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import type { Store } from '../src/store.js'
import { eventRoutes } from './events.js'
import { clientErrorCode, endWithProblem, refuseExpectation, sendProblem } from './failures.js'
import { checkHost, checkOpen, checkOrigin, closeGracefully, cutSlowBodies } from './guards.js'
import { listingRoutes } from './listings.js'
import { Reading } from './reading.js'
import { serverRoutes } from './server.js'
import { streamRoutes } from './streams.js'
import { namedSchemas, openApi } from './wire/openapi.js'
import { queryAjv } from './wire/shape.js'

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
    requestTimeout: 0, // a streamed write takes as long as it takes; other bodies are cut by cutSlowBodies
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
    clientErrorHandler: (error, socket) => endWithProblem(socket, clientErrorCode(error))
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
  cutSlowBodies(app, store.clock)
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
  app.server.on('checkExpectation', refuseExpectation)
  app.addHook('onClose', () => store.close())
  return app
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
