/** What pages of other origins may do, and may not (native contract §8, ADR 29). */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../src/errors.js'

export interface OriginRules {
  /** Origins whose pages may do what their users may. `*`: all pages, without credentials. */
  readonly allowed: readonly string[]
  /** Origins whose pages may read, also with credentials. `*`: all pages, without credentials. */
  readonly readers: readonly string[]
  /** Pages of this machine may do what any program on it may do without credentials. */
  readonly local: boolean
}

const LOCAL_ORIGIN = /^https?:\/\/(localhost|[\w-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(:\d+)?$/i
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])
/** Origins that are told of: whoever opens the pages chooses how many there are. */
const TOLD_MAX = 32

export class Origins {
  readonly #rules: OriginRules
  readonly #warn: (message: string) => void
  readonly #told = new Set<string>()

  /** @param warn takes a line for people, one for each origin that was refused */
  constructor(rules: OriginRules, warn: (message: string) => void) {
    this.#rules = rules
    this.#warn = warn
  }

  /** True when all pages may read and none is named: then every answer says so. */
  get areAlike(): boolean {
    return this.#rules.readers.includes('*') && this.#rules.allowed.length === 0
  }

  /** True for an origin that was named: its pages may use credentials. */
  isNamed(origin: string): boolean {
    return this.#rules.allowed.includes(origin) || this.#rules.readers.includes(origin)
  }

  /** The pages that may read an answer: those of this origin, `*` for all, undefined for none but our own. */
  sharedWith(origin: string | undefined): string | undefined {
    const { local, readers, allowed } = this.#rules
    if (origin !== undefined && this.isNamed(origin)) return origin
    if (local && (origin === undefined || LOCAL_ORIGIN.test(origin))) return '*'
    return readers.includes('*') || allowed.includes('*') ? '*' : undefined
  }

  /**
   * Refuses what a page of another origin may not do by any request: write, and send credentials. A browser that asks
   * before it sends is answered; what it will be kept from is told.
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
   * @param what a page may not do unless it is our own, of an allowed origin, or of this machine and without credentials
   * @throws `origin-refused`, also where a browser names no origin (an image)
   */
  check(request: FastifyRequest, what: string): void {
    const fault = this.#fault(request, what)
    if (fault !== undefined) throw new DaybookError('origin-refused', fault, { written: false, retry: false })
  }

  /** Why a page may not do something; undefined when it may. Tells it once for each origin. */
  #fault(request: FastifyRequest, what: string): string | undefined {
    const { headers } = request
    const origin = headers.origin ?? unnamedOrigin(request)
    if (origin === undefined) return undefined
    const { allowed, local } = this.#rules
    if (allowed.includes(origin)) return undefined
    const carries = headers.authorization !== undefined
    const isLocal = local && LOCAL_ORIGIN.test(origin)
    if (!carries && (isLocal || allowed.includes('*'))) return undefined
    // Where a proxy is believed, the host is what it says.
    if (URL.canParse(origin) && new URL(origin).host === request.host) return undefined
    const fault = faultText(origin.slice(0, 200), what, carries && isLocal)
    this.#tell(origin, fault)
    return fault
  }

  #tell(origin: string, fault: string): void {
    if (this.#told.has(origin) || this.#told.size >= TOLD_MAX) return
    this.#told.add(origin)
    this.#warn(fault)
    if (this.#told.size === TOLD_MAX) this.#warn('Pages of further origins are refused without a line here.')
  }
}

/** `null` for a request that a page of elsewhere made without saying which; undefined when no page did. */
function unnamedOrigin({ headers }: FastifyRequest): string | undefined {
  const site = headers['sec-fetch-site']
  // Of the same site is also another port of this machine, whose pages the browser sends the user's password for.
  const isForeign = site === 'cross-site' || (site === 'same-site' && headers.authorization !== undefined)
  return isForeign ? 'null' : undefined
}

function faultText(origin: string, what: string, byCredentials: boolean): string {
  if (origin === 'null') {
    return `A page without an origin (a file, an image, a sandboxed frame) may not ${what}. Serve the page over HTTP and name its origin with --allow-origin.`
  }
  const why = byCredentials ? ' with a password or token, which the browser may have added by itself' : ''
  return `A page of ${origin} may not ${what}${why}. If the page is yours, start the server with --allow-origin ${origin}.`
}
