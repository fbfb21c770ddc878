/** Decides what pages of other origins may do (native contract §8, ADR 29). */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'

export interface OriginRules {
  /** Origins whose pages have the rights of the signed-in user. `*`: all pages, without credentials. */
  readonly allowed: readonly string[]
  /** Origins whose pages may read, also with credentials. `*`: all pages, without credentials. */
  readonly readers: readonly string[]
  /** Pages served from this machine may do everything that needs no credentials, as any local program may. */
  readonly local: boolean
}

const LOCAL_ORIGIN = /^https?:\/\/(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Limit of the origins that are logged: a client can invent any number of them. */
const LOGGED_ORIGINS_MAX = 32

export class Origins {
  readonly #rules: OriginRules
  readonly #warn: (message: string) => void
  readonly #logged = new Set<string>()

  /** @param warn logs one line for each refused origin */
  constructor(rules: OriginRules, warn: (message: string) => void) {
    this.#rules = rules
    this.#warn = warn
  }

  /** True when all pages may read and no origin is named: CORS headers then are the same in all responses. */
  get sameForAll(): boolean {
    return this.#rules.readers.includes('*') && this.#rules.allowed.length === 0
  }

  /** Returns true for an origin named in the rules: its pages may use credentials. */
  isNamed(origin: string): boolean {
    return this.#rules.allowed.includes(origin) || this.#rules.readers.includes(origin)
  }

  /** Returns the origin whose pages may read a response: `*` for all, undefined for only the server's own pages. */
  sharedWith(origin: string | undefined): string | undefined {
    const { local, readers, allowed } = this.#rules
    if (origin !== undefined && this.isNamed(origin)) return origin
    if (local && (origin === undefined || LOCAL_ORIGIN.test(origin))) return '*'
    return readers.includes('*') || allowed.includes('*') ? '*' : undefined
  }

  /**
   * Rejects what a page of another origin may not do with any request: write, and send credentials. A CORS preflight is
   * answered; when the browser will then block the request, a warning is logged.
   * @throws `origin-refused`
   */
  admit(request: FastifyRequest): void {
    const { origin, authorization } = request.headers
    const isUnsafe = !SAFE.has(request.method)
    if (isUnsafe) this.check(request, 'write here')
    if (origin === undefined) return
    if (authorization !== undefined && !isUnsafe && !this.#rules.readers.includes(origin)) {
      this.check(request, 'sign in here')
    }
    const intended = request.headers['access-control-request-method']
    const writes = request.method === 'OPTIONS' && intended !== undefined && !SAFE.has(intended)
    if (writes) this.#fault(request, 'write here')
    else if (this.sharedWith(origin) === undefined) this.#fault(request, 'read here')
  }

  /**
   * Allows an action only to the server's own pages, to pages of an allowed origin, and, if
   * the request has no credentials, to pages served from this machine. Requests that do not come from a page pass.
   * @param action for the error text, e.g. `write here`
   * @throws `origin-refused`, also for a foreign page without an Origin header (an image)
   */
  check(request: FastifyRequest, action: string): void {
    const fault = this.#fault(request, action)
    if (fault !== undefined) throw new DaybookError('origin-refused', fault, { written: false, retry: false })
  }

  /** Returns why a page may not do something; undefined when it may. Logs the reason once per origin. */
  #fault(request: FastifyRequest, action: string): string | undefined {
    const { headers } = request
    const origin = headers.origin ?? unnamedOrigin(request)
    if (origin === undefined) return undefined
    const { allowed, local } = this.#rules
    if (allowed.includes(origin)) return undefined
    const carries = headers.authorization !== undefined
    const isLocal = local && LOCAL_ORIGIN.test(origin)
    if (!carries && (isLocal || allowed.includes('*'))) return undefined
    // Behind a trusted proxy, `request.host` is the forwarded host.
    if (URL.canParse(origin) && new URL(origin).host === request.host) return undefined
    const fault = faultText(origin.slice(0, 200), action, carries && isLocal)
    this.#log(origin, fault)
    return fault
  }

  #log(origin: string, fault: string): void {
    if (this.#logged.has(origin) || this.#logged.size >= LOGGED_ORIGINS_MAX) return
    this.#logged.add(origin)
    this.#warn(fault)
    if (this.#logged.size === LOGGED_ORIGINS_MAX) this.#warn('Refusals of further origins are not logged.')
  }
}

/** Returns `null` for a request of a foreign page that sends no Origin header; undefined for other requests. */
function unnamedOrigin({ headers }: FastifyRequest): string | undefined {
  const site = headers['sec-fetch-site']
  // Another port of this machine is `same-site`, too, and the browser adds the user's password to such requests.
  const isForeign = site === 'cross-site' || (site === 'same-site' && headers.authorization !== undefined)
  return isForeign ? 'null' : undefined
}

function faultText(origin: string, action: string, byCredentials: boolean): string {
  if (origin === 'null') {
    return `A page without an origin (a file, an image, a sandboxed frame) may not ${action}. Serve the page over HTTP and name its origin with --allow-origin.`
  }
  const why = byCredentials ? ' with a password or token, which the browser may have added without the user' : ''
  return `A page of ${origin} may not ${action}${why}. If the page is yours, start the server with --allow-origin ${origin}.`
}
