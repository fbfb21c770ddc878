/** Builds the HTTP application: Fastify with its options, the hooks of every request, and all routes. */
import compress from '@fastify/compress'
import swagger from '@fastify/swagger'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import { DaybookError } from '../src/errors.js'
import { limits } from '../src/limits.js'
import type { Store } from '../src/store/store.js'
import { addRequestHooks, type RequestHookOptions } from './app/request-hooks.js'
import { type ServerOptions, serverOptions } from './app/server-options.js'
import { Access, type PlainCredentials } from './auth/authorization.js'
import { AtomDialect } from './eventstore/atom-dialect.js'
import { atomRoutes } from './eventstore/eventstore-routes.js'
import { nodeRoutes } from './eventstore/node-info.js'
import { endRefused } from './http/connections/lingering-close.js'
import { sendProblem } from './http/error-handler.js'
import { KnownMethods } from './http/known-methods.js'
import { ignoreBodies, refuseOtherMethods } from './http/method-not-allowed.js'
import { addPrefix } from './http/proxy-prefix.js'
import { type OriginRules, Origins } from './http/same-origin.js'
import { checkOpen } from './http/store-open-check.js'
import { Live } from './live/live.js'
import { refuseLiveRead } from './live/refused-reads.js'
import { Answers } from './reading/answers.js'
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
import { acceptBuffers } from './writing/received-body.js'

export interface AppOptions extends ServerOptions, RequestHookOptions {
  /** Origins whose pages may read and write with the rights of the signed-in user. */
  allowOrigins?: readonly string[]
  /** Origins whose pages may read. `local`: pages served from this machine; they may write, too. Default: all. */
  corsOrigins?: readonly string[] | 'local'
  /** Switches authentication off: every caller may do everything. */
  insecure?: boolean
  /** Whether passwords and tokens are accepted over plain HTTP. Default: `taken` (they are). */
  plainCredentials?: PlainCredentials
  /** Allows shared caches to store immutable pages. */
  publicCache?: boolean
  version?: string
  /** Controls the process that serves the application; undefined when the process cannot be stopped over HTTP. */
  control?: Control
}

/** Builds the application on a store, which may still be opening. The server and the tests both use this function. */
export async function buildApp(store: Store, options: AppOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(serverOptions(options, store))
  setValidatorAndErrorHandlers(app, store)
  addPrefix(app, options.trustProxy ?? false)
  const origins = new Origins(originRules(options), (message) => app.log.warn(message))
  await addRequestHooks(app, store, origins, options)
  await app.register(compress, { global: false, threshold: 1024, encodings: ['br', 'gzip', 'deflate'] })
  for (const schema of namedSchemas) app.addSchema(schema)
  await app.register(swagger, openApi(options.version ?? VERSION))
  await addRoutes(app, store, origins, options)
  app.addHook('onClose', () => store.close())
  return app
}

/** Returns the origin rules. On loopback, they allow local pages unless `corsOrigins` names origins. */
function originRules({ allowOrigins = [], corsOrigins = ['*'], hosts }: AppOptions): OriginRules {
  if (corsOrigins === 'local') return { allowed: allowOrigins, readers: [], local: true }
  return { allowed: allowOrigins, readers: corsOrigins, local: hosts !== undefined && corsOrigins.includes('*') }
}

const VERSION = '0.0.0'

/** Sets how queries are validated and how errors are sent. */
function setValidatorAndErrorHandlers(
  app: FastifyInstance,
  { clock, metrics }: Pick<Store, 'clock' | 'metrics'>
): void {
  // Fastify validates queries only. It converts text to numbers and lists, and drops no parameter. The parsers of
  // routes/wire check the bytes of bodies against the same schemas. Path parameters are parsed by the handler, because
  // the dialect and the native form accept different numbers.
  app.setValidatorCompiler(({ schema, httpPart }) =>
    httpPart === 'body' || httpPart === 'params' ? () => true : compileQuery(schema as object)
  )
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  ignoreBodies(app) // each scope of routes adds the body parsers that it needs
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const refused = refuseLiveRead(error, request, reply, metrics)
    if (refused !== undefined) return refused
    endRefused(request, reply, clock)
    return sendProblem(error, request, reply)
  })
  app.setNotFoundHandler((request, reply) => {
    endRefused(request, reply, clock)
    return sendProblem(
      new DaybookError('not-found', `There is no resource at ${request.url.split('?')[0]}.`),
      request,
      reply
    )
  })
}

/** Adds the routes of every resource. Throws when a route does not declare the access that it requires. */
async function addRoutes(app: FastifyInstance, store: Store, origins: Origins, options: AppOptions): Promise<void> {
  const { version = VERSION, insecure = false, plainCredentials = 'taken', trustProxy = false } = options
  new Access(store, { insecure, plainCredentials }).guard(app)
  const methods = new KnownMethods()
  app.addHook('onRoute', ({ url, method }) => methods.add(url, [method].flat()))
  const caches = { rendered: new RenderedCache(store.memory.caches), answers: new Answers(store) }
  const atom = new AtomDialect(store, caches, methods, trustProxy)
  const live = new Live(store, origins)
  const reading = new Reads(store, live, caches, options.publicCache ?? false)
  await app.register(async (data) => {
    data.addHook('onRequest', (_request, _reply, done) => {
      checkOpen(store)
      done()
    })
    await data.register(async (scope) => {
      acceptBuffers(scope, store)
      streamRoutes(scope, store, reading, live, atom)
      metadataRoutes(scope, store, atom)
      consumerRoutes(scope, store, live, caches.answers)
      await scope.register(async (inner) => atomRoutes(inner, atom))
    })
    await data.register(async (scope) => {
      acceptBuffers(scope, store, limits.small_body_bytes_max)
      tokenRoutes(scope, store)
      ticketRoutes(scope, store)
      await scope.register(async (inner) => userRoutes(inner, store, atom))
      await scope.register(async (inner) => adminRoutes(inner, store, atom, options.control))
    })
    await data.register(async (scope) => eventRoutes(scope, store, reading, live))
    await data.register(async (scope) => listingRoutes(scope, store))
  })
  await app.register(async (scope) => serverRoutes(scope, store, atom, { version, insecure }))
  await app.register(async (scope) => nodeRoutes(scope, store, atom, live))
  methods.seal()
  await app.register(async (rest) => refuseOtherMethods(rest, methods.entries()))
  app.addHook('preClose', async () => {
    if (store.status === 'open') store.subscriptions.close()
    else await store.close() // abort the opening first: closing waits for open connections
  })
}
