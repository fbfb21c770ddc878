/**
 * Who may use which route. Every route says in its configuration what it needs; one hook asks for it before anything of
 * the request is looked at, and a route that says nothing does not start (native contract; reference 14.5).
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
import { takenTicket } from './ticket-parameter.js'

/**
 * `anyone`: also without an account. `reader`: everybody whom `$all` covers; the answer leaves out what they may not
 * read. `writer`: the same, but no token with which nothing can be written. `signedIn`: an account, or a token. `account`: the account itself, with all of its rights. The others as they say.
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
    /** Who may use it. */
    access?: Requirement
    /** Answers that there is nothing here for this method. */
    refuses?: boolean
    /** Takes tickets: what is read there is compared with what the ticket is for. */
    ticketFor?: (request: FastifyRequest) => string
    /** The largest body, bytes, where it is not the usual one. */
    bodyMax?: number
    /** Throws when the headers alone refuse the body. A client that waits to send it, or sends much, is told at once. */
    takesBody?: (request: FastifyRequest) => void
    /** Answers without reading the body. */
    ignoresBody?: boolean
    /** In the dialect: throws when the form that is asked for, or sent, is none. */
    negotiate?: (request: FastifyRequest) => void
    /** True when an answer is to be in the dialect, refusals too. */
    dialect?: (request: FastifyRequest) => boolean
  }
  interface FastifyInstance {
    /** What each route needs, by method and address. */
    readonly guarded: ReadonlyMap<string, Requirement>
  }
  interface FastifyRequest {
    principal: Principal
    /** The source that a ticket opens. */
    ticketSource: string | undefined
  }
}

/**
 * Whether credentials may come over plain HTTP: `taken`, since nobody else hears them; `by-proxy`, unless the proxy says
 * that its client sent them so; `refused`.
 */
export type PlainCredentials = 'taken' | 'by-proxy' | 'refused'

export interface AccessOptions {
  /** Authentication is switched off. */
  readonly insecure: boolean
  readonly plainCredentials: PlainCredentials
}

/** What routes are guarded with. All but `status` and `reason` are there once the store is open. */
export interface AccessParts extends RightsParts {
  readonly status: string
  /** Why it is not open, for people. */
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

  /** Adds the hooks. Routes that are registered before it are not looked at. */
  guard(app: FastifyInstance): void {
    app.decorateRequest('principal', undefined as unknown as Principal)
    app.decorateRequest('ticketSource', undefined)
    const guarded = new Map<string, Requirement>()
    app.decorate('guarded', guarded)
    app.addHook('onRoute', ({ config, url, method }) => {
      if (config?.access === undefined) throw new Error(`${method} ${url} does not say who may use it`)
      if (!config.refuses) for (const one of [method].flat()) guarded.set(`${one} ${url}`, config.access)
    })
    // With `done` rather than async: most requests need no promise.
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
   * Finds the principal of a request, and whether it may make it.
   * @throws, at once or by its promise, `sign-in-required`, `not-permitted`, `wrong-credentials`, `tls-required`…
   */
  #admit(request: FastifyRequest): void | Promise<void> {
    // Where no route of ours answers, nothing is there to be kept from anybody.
    const requirement = request.routeOptions.config.access ?? 'anyone'
    const principal = this.#principalOf(request, requirement === 'anyone')
    if (principal instanceof Promise) return principal.then((one) => this.#check(request, one, requirement))
    return this.#check(request, principal, requirement)
  }

  /** Rights are checked again once the body has arrived: they may have been revoked meanwhile. */
  #checkAgain(request: FastifyRequest): void | Promise<void> {
    // Until the log is open nobody is signed in, and no sign-in can be over.
    if (request.principal.accountVersion !== undefined) {
      const over = this.#parts.rules.signInRefusal(request.principal, this.#parts.clock.now())
      if (over !== undefined) throw over
    }
    return this.#check(request, request.principal, request.routeOptions.config.access ?? 'anyone')
  }

  #principalOf(request: FastifyRequest, anyone: boolean): Principal | Promise<Principal> {
    if (this.#options.insecure) return ANYBODY
    const { authorization } = request.headers
    const ticket = takenTicket(request.raw)
    if (authorization === undefined && ticket === undefined) return NOBODY
    if (this.#wasHeard(request)) throw plainText()
    // Until the log is open nobody is known, and only that is told.
    if (this.#parts.status !== 'open') return NOBODY
    return authorization === undefined
      ? this.#byTicket(request, ticket as string)
      : this.#byHeader(request, authorization, anyone)
  }

  #wasHeard({ raw, headers, protocol }: FastifyRequest): boolean {
    const { plainCredentials } = this.#options
    if (plainCredentials === 'taken' || 'encrypted' in raw.socket) return false
    return plainCredentials === 'refused' || (headers['x-forwarded-proto'] !== undefined && protocol !== 'https')
  }

  #byTicket(request: FastifyRequest, ticket: string): Principal {
    const { principal, source } = this.#parts.signIn.byTicket(ticket, request.ip)
    request.ticketSource = source
    return principal
  }

  #byHeader(request: FastifyRequest, authorization: string, anyone: boolean): Principal | Promise<Principal> {
    const { signIn } = this.#parts
    const space = authorization.indexOf(' ')
    const [scheme, value] = [authorization.slice(0, space), authorization.slice(space + 1)]
    // EventStoreDB reads `Basic` as it is written, and takes everything else for no credentials (reference 14.1).
    if (scheme === 'Basic' || authorization === 'Basic') {
      const principal = signIn.byPassword(value.trim(), request.ip)
      if (principal instanceof Promise) return principal.then((one) => one ?? NOBODY)
      return principal ?? NOBODY
    }
    if (scheme.toLowerCase() !== 'bearer' || anyone) return NOBODY
    return signIn.byToken(value.trim(), request.ip)
  }

  #check(request: FastifyRequest, principal: Principal, requirement: Requirement): void | Promise<void> {
    request.principal = principal
    if (requirement !== 'anyone') checkOpen(this.#parts)
    if (request.ticketSource !== undefined && request.routeOptions.config.ticketFor === undefined) {
      throw new DaybookError(
        'not-permitted',
        'A ticket is for reading the source that it was given for, and nothing else.'
      )
    }
    const need = typeof requirement === 'function' ? requirement(request) : requirement
    if (typeof need === 'string') {
      this.#checkLevel(principal, need)
      if (need === 'writer') return checkWritesAny(this.#parts, principal)
    } else if ('consumer' in need) return checkConsumer(this.#parts, principal, need.consumer, need.changes)
    else if ('self' in need) this.#checkSelf(principal, need.self)
    else return this.#parts.rules.check(principal, need.action, need.stream)
  }

  /** Nobody else, administrators neither: they can reset what they cannot change (reference 14.5). */
  #checkSelf(principal: Principal, login: string): void {
    this.#checkLevel(principal, 'account')
    if (principal.login === login) return
    throw new DaybookError('not-permitted', `Only "${login.slice(0, 100)}" may do this.`)
  }

  #checkLevel(principal: Principal, level: AccessLevel): void {
    if (hasLevel(principal, level, this.#parts)) return
    if (principal.login === undefined) throw new DaybookError('sign-in-required', `Only ${LEVELS[level]} may do this.`)
    throw new DaybookError('not-permitted', `Only ${LEVELS[level]} may do this.`)
  }
}

const LEVELS: Record<AccessLevel, string> = {
  anyone: 'anybody',
  reader: 'who has signed in',
  writer: 'who has signed in',
  signedIn: 'who has signed in',
  account: 'who has signed in with a password',
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
    'Credentials were sent in plain text, to an address that others can reach. They were not looked at; treat them as compromised.'
  )
}

/** Takes the stream that the path names. Of the log and of index streams everybody gets what they may read. */
export function ofStream(action: Action): Requirement {
  return (request) => {
    const { stream } = request.params as { stream: string }
    const reads = action === 'read' || action === 'readMetadata'
    if (reads && indexStreamOf(stream) !== undefined) return 'reader'
    const native = action === 'read' && !(request.routeOptions.config.dialect?.(request) ?? true)
    return stream === '$all' && native ? 'reader' : { action, stream }
  }
}

/** @throws `not-permitted` when a ticket is used for something else than it was given for, and what is wrong with the query */
function checkTicket(request: FastifyRequest, source: string): void {
  if (request.validationError !== undefined) throw request.validationError
  if (request.routeOptions.config.ticketFor?.(request) === source) return
  throw new DaybookError('not-permitted', `This ticket is for ${source}, through the same filters.`, { source })
}
