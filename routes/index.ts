/** The HTTP application: Fastify with all its options, the hooks every request passes, and each resource by name. */
import { randomBytes } from 'node:crypto'
import compress from '@fastify/compress'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyError, type FastifyInstance, LogController } from 'fastify'
import { DaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import type { Store } from '../src/store/store.js'
import { Access, type PlainCredentials } from './auth/authorization.js'
import { takeTicket } from './auth/ticket-parameter.js'
import { AtomDialect } from './eventstore/atom-dialect.js'
import { atomRoutes } from './eventstore/eventstore-routes.js'
import { nodeRoutes } from './eventstore/node-info.js'
import { ALLOWED_HEADERS, type CorsOrigins, shareWithOrigins } from './http/cors.js'
import { clientErrorCode, endWithProblem, refuseExpectation, sendProblem } from './http/error-handler.js'
import { checkDirect, checkHost, checkOpen, checkOrigin, closeGracefully, cutSlowBodies } from './http/guards.js'
import { KnownMethods } from './http/known-methods.js'
import { type LoadOptions, limitLoad } from './http/rate-limits.js'
import { TLS } from './http/tls.js'
import { Live } from './live/live.js'
import { acceptWebSockets, endUpgrade, UpgradableMessage } from './live/websocket.js'
import { Reads } from './reading/reads.js'
import { RenderedCache } from './reading/rendered-cache.js'
import { adminRoutes, type Control } from './resources/admin.js'
import { consumerRoutes } from './resources/consumers.js'
import { eventRoutes } from './resources/events.js'
import { listingRoutes } from './resources/listings.js'
import { metadataRoutes } from './resources/metadata.js'
import { serverRoutes } from './resources/server.js'
import { streamRoutes } from './resources/streams.js'
import { ticketRoutes } from './resources/tickets.js'
import { tokenRoutes } from './resources/tokens.js'
import { userRoutes } from './resources/users.js'
import { namedSchemas, openApi } from './wire/openapi.js'
import { compileQuery } from './wire/problems/shape.js'
import { acceptBuffers } from './wire/writing/body.js'

export interface AppOptions {
  /** Everybody may do everything: authentication is switched off. */
  insecure?: boolean
  /** Whether passwords and tokens may come over plain HTTP. Default: they may. */
  plainCredentials?: PlainCredentials
  /** Origins whose pages may write here, beside the server's own. */
  allowOrigins?: readonly string[]
  /** Names by which a loopback listener may be called, beside the local ones. Undefined: any (not a loopback). */
  hosts?: readonly string[] | undefined
  trustProxy?: boolean
  /** Immutable pages may be kept by shared caches. */
  publicCache?: boolean
  /** Origins whose pages may read. Default: all, without credentials. */
  corsOrigins?: CorsOrigins
  /** Speaks HTTPS with this certificate. */
  tls?: { readonly cert: string; readonly key: string } | undefined
  /** Tells browsers to come over HTTPS from now on. */
  hsts?: boolean
  /** Undefined: whoever comes may ask as much as they want. */
  load?: LoadOptions
  version?: string
  /** The process that serves it; undefined: none that can be told to stop. */
  control?: Control
  logLevel?: string
  /** Where lines of the log go; standard output unless it is said. */
  logTo?: NodeJS.WritableStream
}

/** Builds the application over a store, which may still be opening. Tests and the server use this one function. */
export async function buildApp(store: Store, options: AppOptions = {}): Promise<FastifyInstance> {
  const http = {
    headersTimeout: limits.headers_timeout_ms,
    connectionsCheckingInterval: 5_000,
    maxHeaderSize: 16_384,
    IncomingMessage: UpgradableMessage,
    requireHostHeader: false
  }
  const { tls } = options
  const app = Fastify({
    // The type of a server with TLS is another one; what we ask of it is the same.
    ...(tls === undefined ? { http } : ({ https: { ...http, ...TLS, ...tls } } as object)),
    logger: { level: options.logLevel ?? 'warn', ...(options.logTo && { stream: options.logTo }) },
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.body_bytes_max,
    // One hop: what a client says of itself stands before what the proxy adds.
    trustProxy: options.trustProxy ? (_address, hop) => hop === 0 : false,
    requestTimeout: 0, // a streamed write takes as long as it takes; other bodies are cut by cutSlowBodies
    connectionTimeout: 0,
    keepAliveTimeout: 72_000,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    genReqId: requestIds(),
    rewriteUrl: takeTicket,
    routerOptions: { maxParamLength: limits.url_bytes_max },
    frameworkErrors: (error, request, reply) => {
      endUpgrade(request, reply)
      sendProblem(error, request, reply)
    },
    clientErrorHandler: (error, socket) => endWithProblem(socket, clientErrorCode(error))
  })

  // One validator for queries: text becomes numbers and lists, nothing is dropped. Bodies are checked by
  // the readers of routes/wire against the same schemas, from their bytes.
  // What stands in the path is read by the form that answers: the dialect takes other numbers than we do.
  app.setValidatorCompiler(({ schema, httpPart }) =>
    httpPart === 'body' || httpPart === 'params' ? () => true : compileQuery(schema as object)
  )
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  // What nothing takes is passed over; each scope of routes says what it takes.
  passOverBodies(app)
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(new DaybookError('not-found', `Nothing lives at ${request.url.split('?')[0]}.`), request, reply)
  )

  const closing = closeGracefully(app, store)
  // First, so that a refusal by any hook ends the connection of an upgrade, too.
  await acceptWebSockets(app, store.clock)
  // With `done` rather than async: a promise a hook a request would be felt.
  app.addHook('onRequest', (request, reply, done) => {
    if (closing.begun) reply.header('connection', 'close')
    reply.header('request-id', request.id).header('x-content-type-options', 'nosniff')
    // What strangers wrote is answered in many forms, and a browser runs scripts in some.
    reply.header('content-security-policy', NOTHING_RUNS)
    if (options.hsts) reply.header('strict-transport-security', 'max-age=31536000')
    checkHost(request, options.hosts)
    if (options.hosts !== undefined) checkDirect(request)
    checkOrigin(request, options.allowOrigins ?? [])
    done()
  })
  const { version = '0.0.0', insecure = false, plainCredentials = 'taken' } = options
  cutSlowBodies(app, store.clock)
  await shareWithOrigins(app, options.corsOrigins ?? ['*'], options.allowOrigins ?? [])
  if (options.load !== undefined) await limitLoad(app, options.load)
  await app.register(compress, { global: false, threshold: 1024, encodings: ['br', 'gzip', 'deflate'] })
  for (const schema of namedSchemas) app.addSchema(schema)
  await app.register(swagger, openApi(version))

  // From here on every route says who may use it.
  new Access(store, { insecure, plainCredentials }).guard(app)
  const methods = new KnownMethods()
  app.addHook('onRoute', ({ url, method }) => methods.add(url, [method].flat()))
  const rendered = new RenderedCache()
  const atom = new AtomDialect(store, rendered, methods, options.trustProxy ?? false)
  const live = new Live(store, options.allowOrigins ?? [])
  const reading = new Reads(store, live, rendered, options.publicCache ?? false)
  await app.register(async (data) => {
    data.addHook('onRequest', (_request, _reply, done) => {
      checkOpen(store)
      done()
    })
    await data.register(async (scope) => {
      acceptBuffers(scope)
      streamRoutes(scope, store, reading, live, atom)
      metadataRoutes(scope, store, atom)
      consumerRoutes(scope, store, live)
      await scope.register(async (inner) => atomRoutes(inner, atom))
    })
    await data.register(async (scope) => {
      acceptBuffers(scope, limits.small_body_bytes_max)
      tokenRoutes(scope, store)
      ticketRoutes(scope, store)
      await scope.register(async (inner) => userRoutes(inner, store, atom))
      await scope.register(async (inner) => adminRoutes(inner, store, atom, options.control))
    })
    await data.register(async (scope) => eventRoutes(scope, store, reading, live))
    await data.register(async (scope) => listingRoutes(scope, store))
  })
  await app.register(async (scope) => serverRoutes(scope, store, atom, { version, insecure }))
  await app.register(async (scope) => nodeRoutes(scope, store, atom))
  methods.seal()
  await app.register(async (rest) => refuseOtherMethods(rest, methods))
  app.addHook('preClose', async () => {
    if (store.status === 'open') store.subscriptions.close()
  })
  app.server.on('checkExpectation', refuseExpectation)
  app.addHook('onClose', () => store.close())
  return app
}

const NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'"

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

function passOverBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => {
    payload.resume()
    done(null)
  })
}

/** Every known address says its methods when asked with OPTIONS, and answers others with 405 and `Allow`. */
function refuseOtherMethods(app: FastifyInstance, known: KnownMethods): void {
  passOverBodies(app)
  for (const [url, methods] of [...known.entries()]) {
    if (url === '*') continue
    const allow = [...methods, 'OPTIONS'].join(', ')
    app.options(url, { config: { access: 'anyone', refuses: true }, schema: { hide: true } }, (_request, reply) => {
      reply.header('allow', allow).header('access-control-allow-methods', allow)
      return reply
        .header('access-control-allow-headers', ALLOWED_HEADERS)
        .header('access-control-max-age', '600')
        .send('')
    })
    const others = METHODS.filter((method) => !methods.has(method) && method !== 'OPTIONS')
    if (others.length === 0) continue
    app.route({
      method: others,
      url,
      config: { access: 'anyone', refuses: true },
      schema: { hide: true },
      handler: (request, reply) => {
        reply.header('allow', allow).header('access-control-allow-methods', allow)
        // Streams are listed there; to write, a name is needed: nothing lives there for a write.
        if (url.replace(/\/$/, '') === '/streams') {
          throw new DaybookError('not-found', `To ${request.method}, name a stream: /streams/{stream}.`)
        }
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
