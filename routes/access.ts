/**
 * Who may use which route. Every route says in its configuration what it needs; one hook asks for it before anything of
 * the request is looked at, and a route that says nothing does not start (native contract; reference 14.5).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { DaybookError } from '../src/errors.js'
import type { Store } from '../src/store.js'
import {
  type Action,
  type Actor,
  ANYBODY,
  isAdministrator,
  isOperator,
  NOBODY,
  type Principal,
  refusedAccess,
  refusedWhenOver,
  rightFor
} from '../src/streams/access.js'
import { indexStreamOf } from '../src/streams/index-streams.js'
import type { Address } from '../src/streams/sources.js'
import type { Consumer } from '../src/subscriptions/consumer.js'
import type { LiveRight } from '../src/subscriptions/subscription.js'
import { checkOpen } from './guards.js'
import { takenTicket } from './ticket-parameter.js'
import { parseSource } from './wire/consumer.js'
import type { Asking } from './wire/read-request.js'

/**
 * `anyone`: also without an account. `reader`: whom `$all` means, since what they get leaves out what they may not read.
 * `signedIn`: an account, or a token. `account`: the account itself, with all of its rights. The others as they say.
 */
type Level = 'anyone' | 'reader' | 'signedIn' | 'account' | 'operator' | 'administrator'
type Need =
  | Level
  | { readonly action: Action; readonly stream: string }
  | { readonly consumer: Consumer }
  | { readonly self: string }
export type Requirement = Level | ((request: FastifyRequest) => Need)

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

export interface AccessOptions {
  /** Authentication is switched off. */
  readonly insecure: boolean
  /** Credentials may come in plain text: nobody else hears them, or a proxy has kept them from others. */
  readonly plainCredentials: boolean
}

export class Access {
  readonly #store: Store
  readonly #options: AccessOptions

  constructor(store: Store, options: AccessOptions) {
    this.#store = store
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
      done()
    })
  }

  /**
   * Finds out who asks, and whether they may.
   * @throws, at once or by its promise, `sign-in-required`, `not-permitted`, `wrong-credentials`, `tls-required`…
   */
  #admit(request: FastifyRequest): void | Promise<void> {
    // Where no route of ours answers, nothing is there to be kept from anybody.
    const requirement = request.routeOptions.config.access ?? 'anyone'
    const principal = this.#principalOf(request, requirement === 'anyone')
    if (principal instanceof Promise) return principal.then((one) => this.#check(request, one, requirement))
    return this.#check(request, principal, requirement)
  }

  #principalOf(request: FastifyRequest, anyone: boolean): Principal | Promise<Principal> {
    if (this.#options.insecure) return ANYBODY
    const { authorization } = request.headers
    const ticket = takenTicket(request.raw)
    if (authorization === undefined && ticket === undefined) return NOBODY
    if (!this.#options.plainCredentials && !('encrypted' in request.raw.socket)) throw plainText()
    // Until the log is open nobody is known, and only that is told.
    if (this.#store.status !== 'open') return NOBODY
    return authorization === undefined
      ? this.#byTicket(request, ticket as string)
      : this.#byHeader(request, authorization, anyone)
  }

  #byTicket(request: FastifyRequest, ticket: string): Principal {
    const { principal, source } = this.#store.signIn.byTicket(ticket, request.ip)
    request.ticketSource = source
    return principal
  }

  #byHeader(request: FastifyRequest, authorization: string, anyone: boolean): Principal | Promise<Principal> {
    const { signIn } = this.#store
    const space = authorization.indexOf(' ')
    const [scheme, value] = [authorization.slice(0, space), authorization.slice(space + 1)]
    // The original reads `Basic` as it is written, and takes everything else for no credentials (reference 14.1).
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
    if (requirement !== 'anyone') checkOpen(this.#store)
    if (request.ticketSource !== undefined && request.routeOptions.config.ticketFor === undefined) {
      throw new DaybookError(
        'not-permitted',
        'A ticket is for reading the source that it was given for, and nothing else.'
      )
    }
    const need = typeof requirement === 'function' ? requirement(request) : requirement
    if (typeof need === 'string') this.#checkLevel(principal, need)
    else if ('consumer' in need) return this.#checkConsumer(principal, need.consumer)
    else if ('self' in need) this.#checkSelf(principal, need.self)
    else return this.#store.rules.check(principal, need.action, need.stream)
  }

  /** With a token only as far as it reads. */
  #checkConsumer(principal: Principal, consumer: Consumer): void | Promise<void> {
    checkOwner(principal, consumer, this.#store)
    if (principal.scope === undefined) return undefined
    return checkReadable(this.#store, principal, parseSource(consumer.definition.source).address)
  }

  /** Nobody else, administrators neither: they can reset what they cannot change (reference 14.5). */
  #checkSelf(principal: Principal, login: string): void {
    this.#checkLevel(principal, 'account')
    if (principal.login === login) return
    throw new DaybookError('not-permitted', `Only "${login.slice(0, 100)}" may do this.`)
  }

  #checkLevel(principal: Principal, level: Level): void {
    if (hasLevel(principal, level, this.#store)) return
    if (principal.login === undefined) throw new DaybookError('sign-in-required', `Only ${LEVELS[level]} may do this.`)
    throw new DaybookError('not-permitted', `Only ${LEVELS[level]} may do this.`)
  }
}

const LEVELS: Record<Level, string> = {
  anyone: 'anybody',
  reader: 'who has signed in',
  signedIn: 'who has signed in',
  account: 'who has signed in with a password',
  operator: 'operators ($ops) and administrators ($admins)',
  administrator: 'administrators ($admins)'
}

function hasLevel(principal: Principal, level: Level, { rules }: Store): boolean {
  switch (level) {
    case 'anyone':
      return true
    case 'reader':
      return principal.login !== undefined || rules.settings.anonymous
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

/** Owner and administrators may change a consumer, and reading for it changes it (native contract §7). */
export function owns(principal: Principal, { definition: { owner } }: Consumer, { rules }: Store): boolean {
  if (isAdministrator(principal)) return true
  // What nobody owns is everybody's where nobody needs an account.
  return owner === undefined ? rules.settings.anonymous : owner === principal.login
}

/** @throws `sign-in-required`, `not-permitted` */
export function checkOwner(principal: Principal, consumer: Consumer, store: Store): void {
  if (owns(principal, consumer, store)) return
  const { name } = consumer
  const why = `"${name}" is its owner's and administrators'.`
  throw new DaybookError(principal.login === undefined ? 'sign-in-required' : 'not-permitted', why, { consumer: name })
}

function plainText(): DaybookError {
  return new DaybookError(
    'tls-required',
    'Credentials were sent in plain text, to an address that others can reach. They were not looked at; take them for known.'
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

/** @throws `sign-in-required`, `not-permitted` for an address that somebody may not read */
export async function checkReadable({ rules }: Store, principal: Principal, { stream, index }: Address): Promise<void> {
  if (stream !== undefined && index === undefined) await rules.check(principal, 'read', stream)
}

/** True when whoever asks without an account gets it too: then shared caches may keep it. */
export function isPublic({ rules }: Store, { stream, index }: Address): boolean | Promise<boolean> {
  return stream !== undefined && index === undefined && rules.may(NOBODY, 'read', stream)
}

/** What a live reader's right rests on. */
export function rightOf(store: Store, principal: Principal, { stream, index }: Address): LiveRight {
  const own = stream !== undefined && index === undefined ? stream : undefined
  return {
    stream: own && rightFor('read', own).stream,
    expires: principal.expires,
    refusal: () => {
      const over = refusedWhenOver(principal, store.clock.now())
      if (over !== undefined) return over
      if (own === undefined) return undefined
      const verdict = store.rules.may(principal, 'read', own)
      const refused = (permitted: boolean) => (permitted ? undefined : refusedAccess(principal, 'read', own))
      return typeof verdict === 'boolean' ? refused(verdict) : verdict.then(refused)
    }
  }
}

/** What the query of a request is read with. */
export function askingOf(store: Store, { principal }: Pick<FastifyRequest, 'principal'>): Asking {
  return { viewer: store.rules.viewerOf(principal), now: store.clock.now(), rule: store.poster.rule }
}

/** Who asks for a change; undefined where authentication is switched off. */
export function actorOf({ principal, ip, id }: FastifyRequest): Actor | undefined {
  return principal.by === 'insecure' ? undefined : { principal, address: ip, requestId: id }
}

/** Who asks for what is always written down. */
export function trackedActorOf({ principal, ip, id }: FastifyRequest): Actor {
  return { principal, address: ip, requestId: id }
}

/** @throws `not-permitted` when a ticket is used for something else than it was given for, and what is wrong with the query */
function checkTicket(request: FastifyRequest, source: string): void {
  if (request.validationError !== undefined) throw request.validationError
  if (request.routeOptions.config.ticketFor?.(request) === source) return
  throw new DaybookError('not-permitted', `This ticket is for ${source}, through the same filters.`, { source })
}
