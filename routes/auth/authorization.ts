/**
 * Access to routes. The configuration of every route declares the access that it requires. One hook checks it before
 * the query is validated and the body is read. The start fails for a route that declares none (native contract;
 * reference 14.5).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import {
  type Action,
  ANYBODY,
  isAdministrator,
  isOperator,
  NOBODY,
  type Principal
} from '../../src/access/permissions.js'
import type { Consumer } from '../../src/consumers/consumer.js'
import { DaybookError } from '../../src/errors.js'
import { indexStreamOf } from '../../src/streams/index-streams.js'
import type { SignIn } from '../../src/users/sign-in.js'
import { checkOpen } from '../http/store-open-check.js'
import { checkConsumer, checkWritesAny, isReader, type RightsParts } from './caller-rights.js'
import { ticketOf } from './ticket-parameter.js'

/**
 * `anyone`: also callers without an account. `reader`: every member of `$all`; the response omits events that the
 * caller may not read. `writer`: the same, except tokens that permit no write at all. `signedIn`: any sign-in, also
 * with a token. `account`: a sign-in with all rights of the account (no scoped token, no ticket). `operator`: `$ops`
 * and `$admins`. `administrator`: `$admins`.
 */
type AccessLevel = 'anyone' | 'reader' | 'writer' | 'signedIn' | 'account' | 'operator' | 'administrator'
type Need =
  | AccessLevel
  | { readonly action: Action; readonly stream: string }
  | { readonly consumer: Consumer; readonly changes: boolean }
  | { readonly self: string }
export type Requirement = AccessLevel | ((request: FastifyRequest) => Need)

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The access that the route requires. */
    access?: Requirement
    /** True for a route that only answers OPTIONS or refuses an unsupported method. */
    refuses?: boolean
    /** Accepts tickets: returns the source that the request reads, which must be the ticket's source. */
    ticketFor?: (request: FastifyRequest) => string
    /** Largest body in bytes, where it differs from the default. */
    bodyMax?: number
    /** Throws when the headers alone rule out the body: the client learns it before it has sent the whole body. */
    takesBody?: (request: FastifyRequest) => void
    /** True when the route responds without reading the body. */
    ignoresBody?: boolean
    /** In the dialect: throws when the accepted or the sent media type is not supported. */
    negotiate?: (request: FastifyRequest) => void
    /** Returns true when the response, or a refusal, must be in the form of the dialect. */
    dialect?: (request: FastifyRequest) => boolean
  }
  interface FastifyInstance {
    /** The access that each route requires, by `METHOD url`. */
    readonly guarded: ReadonlyMap<string, Requirement>
  }
  interface FastifyRequest {
    principal: Principal
    /** The source that the caller's ticket permits to read; undefined without a ticket. */
    ticketSource: string | undefined
  }
}

/**
 * Whether credentials may come over plain HTTP. `taken`: yes, because nobody can intercept them. `by-proxy`: yes,
 * unless the proxy reports that its client used plain HTTP. `refused`: no.
 */
export type PlainCredentials = 'taken' | 'by-proxy' | 'refused'

export interface AccessOptions {
  /** Switches authentication off. */
  readonly insecure: boolean
  readonly plainCredentials: PlainCredentials
}

/** The parts of the store for access checks. All but `status` and `reason` exist only once the store is open. */
export interface AccessParts extends RightsParts {
  readonly status: string
  /** Why the store is not open, as a readable text. */
  readonly reason: string
  readonly signIn: SignIn
}

export class Access {
  readonly #parts: AccessParts
  readonly #options: AccessOptions

  constructor(parts: AccessParts, options: AccessOptions) {
    this.#parts = parts
    this.#options = options
  }

  /** Adds the hooks. Call it before routes are registered: it does not check earlier ones. */
  guard(app: FastifyInstance): void {
    app.decorateRequest('principal', undefined as unknown as Principal)
    app.decorateRequest('ticketSource', undefined)
    const guarded = new Map<string, Requirement>()
    app.decorate('guarded', guarded)
    app.addHook('onRoute', ({ config, url, method }) => {
      if (config?.access === undefined)
        throw new Error(`The route ${method} ${url} does not declare the access that it requires`)
      if (!config.refuses) for (const one of [method].flat()) guarded.set(`${one} ${url}`, config.access)
    })
    // `done` instead of async: most requests need no promise.
    app.addHook('onRequest', (request, _reply, done) => {
      const admitted = this.#admit(request)
      if (admitted === undefined) done()
      else admitted.then(() => done(), done)
    })
    app.addHook('preHandler', (request, _reply, done) => {
      if (request.ticketSource !== undefined) checkTicket(request, request.ticketSource)
      const checked = request.body === undefined ? undefined : this.#checkAgain(request)
      if (checked === undefined) done()
      else checked.then(() => done(), done)
    })
  }

  /**
   * Identifies the principal of a request and checks that the principal may make it.
   * @throws, at once or by its promise, `sign-in-required`, `not-permitted`, `wrong-credentials`, `tls-required`…
   */
  #admit(request: FastifyRequest): void | Promise<void> {
    // A request without a route gets 404, which reveals nothing.
    const requirement = request.routeOptions.config.access ?? 'anyone'
    const principal = this.#principalOf(request, requirement === 'anyone')
    if (principal instanceof Promise) return principal.then((one) => this.#check(request, one, requirement))
    return this.#check(request, principal, requirement)
  }

  /** Checks rights again once the body has arrived: they may have been revoked meanwhile. */
  #checkAgain(request: FastifyRequest): void | Promise<void> {
    // Before the log is open there are no sign-ins, so none can have expired.
    if (request.principal.accountVersion !== undefined) {
      const over = this.#parts.rules.signInRefusal(request.principal, this.#parts.clock.now())
      if (over !== undefined) throw over
    }
    return this.#check(request, request.principal, request.routeOptions.config.access ?? 'anyone')
  }

  #principalOf(request: FastifyRequest, isOpenToAll: boolean): Principal | Promise<Principal> {
    if (this.#options.insecure) return ANYBODY
    const { authorization } = request.headers
    const ticket = ticketOf(request.raw)
    if (authorization === undefined && ticket === undefined) return NOBODY
    if (this.#cameUnprotected(request)) throw plainText()
    // Before the log is open no account is known. The request then fails as `starting`, not as wrong credentials.
    if (this.#parts.status !== 'open') return NOBODY
    return authorization === undefined
      ? this.#byTicket(request, ticket as string)
      : this.#byHeader(request, authorization, isOpenToAll)
  }

  #cameUnprotected({ raw, headers, protocol }: FastifyRequest): boolean {
    const { plainCredentials } = this.#options
    if (plainCredentials === 'taken' || 'encrypted' in raw.socket) return false
    return plainCredentials === 'refused' || (headers['x-forwarded-proto'] !== undefined && protocol !== 'https')
  }

  #byTicket(request: FastifyRequest, ticket: string): Principal {
    const { principal, source } = this.#parts.signIn.byTicket(ticket, request.ip)
    request.ticketSource = source
    return principal
  }

  #byHeader(request: FastifyRequest, authorization: string, isOpenToAll: boolean): Principal | Promise<Principal> {
    const { signIn } = this.#parts
    const space = authorization.indexOf(' ')
    const [scheme, value] = [authorization.slice(0, space), authorization.slice(space + 1)]
    // EventStoreDB compares `Basic` case-sensitively and ignores all other schemes (reference 14.1).
    if (scheme === 'Basic' || authorization === 'Basic') {
      const principal = signIn.byPassword(value.trim(), request.ip)
      if (principal instanceof Promise) return principal.then((one) => one ?? NOBODY)
      return principal ?? NOBODY
    }
    if (scheme.toLowerCase() !== 'bearer' || isOpenToAll) return NOBODY
    return signIn.byToken(value.trim(), request.ip)
  }

  #check(request: FastifyRequest, principal: Principal, requirement: Requirement): void | Promise<void> {
    request.principal = principal
    if (requirement !== 'anyone') checkOpen(this.#parts)
    if (request.ticketSource !== undefined && request.routeOptions.config.ticketFor === undefined) {
      throw new DaybookError('not-permitted', 'A ticket only permits reads of the source that it was issued for.')
    }
    const need = typeof requirement === 'function' ? requirement(request) : requirement
    if (typeof need === 'string') {
      this.#checkLevel(principal, need)
      if (need === 'writer') return checkWritesAny(this.#parts, principal)
    } else if ('consumer' in need) return checkConsumer(this.#parts, principal, need.consumer, need.changes)
    else if ('self' in need) this.#checkSelf(principal, need.self)
    else return this.#parts.rules.check(principal, need.action, need.stream)
  }

  /** Admits the account itself only. Administrators are refused, too: they can reset a password (reference 14.5). */
  #checkSelf(principal: Principal, login: string): void {
    this.#checkLevel(principal, 'account')
    if (principal.login === login) return
    throw new DaybookError('not-permitted', `Only the account "${login.slice(0, 100)}" itself may do this.`)
  }

  #checkLevel(principal: Principal, level: AccessLevel): void {
    if (hasLevel(principal, level, this.#parts)) return
    if (principal.login === undefined) throw new DaybookError('sign-in-required', `Only ${LEVELS[level]} may do this.`)
    throw new DaybookError('not-permitted', `Only ${LEVELS[level]} may do this.`)
  }
}

const LEVELS: Record<AccessLevel, string> = {
  anyone: 'anybody',
  reader: 'signed-in users',
  writer: 'signed-in users',
  signedIn: 'signed-in users',
  account: 'users who have signed in with a password',
  operator: 'operators ($ops) and administrators ($admins)',
  administrator: 'administrators ($admins)'
}

function hasLevel(principal: Principal, level: AccessLevel, { rules }: Pick<RightsParts, 'rules'>): boolean {
  switch (level) {
    case 'anyone':
      return true
    case 'reader':
    case 'writer':
      return isReader({ rules }, principal)
    case 'signedIn':
      return principal.login !== undefined
    case 'account':
      return principal.login !== undefined && principal.scope === undefined && principal.by !== 'ticket'
    case 'operator':
      return isOperator(principal)
    case 'administrator':
      return isAdministrator(principal)
  }
}

function plainText(): DaybookError {
  return new DaybookError(
    'tls-required',
    'The credentials came over plain HTTP and were not checked. Treat them as compromised, and use HTTPS.'
  )
}

/**
 * Requires the right to the stream in the path. Reads of the log and of index streams require `reader` only: their
 * responses omit events that the caller may not read.
 */
export function ofStream(action: Action): Requirement {
  return (request) => {
    const { stream } = request.params as { stream: string }
    const reads = action === 'read' || action === 'readMetadata'
    if (reads && indexStreamOf(stream) !== undefined) return 'reader'
    const native = action === 'read' && !(request.routeOptions.config.dialect?.(request) ?? true)
    return stream === '$all' && native ? 'reader' : { action, stream }
  }
}

/** @throws the error of an invalid query; `not-permitted` when the request reads another source than the ticket's */
function checkTicket(request: FastifyRequest, source: string): void {
  if (request.validationError !== undefined) throw request.validationError
  if (request.routeOptions.config.ticketFor?.(request) === source) return
  throw new DaybookError('not-permitted', `This ticket is for ${source}, with the same filters.`, { source })
}
