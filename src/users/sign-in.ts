/**
 * Turns the credentials of a request into a principal. Valid credentials are cached for a while under a keyed hash, to
 * avoid a password hash per request. A cached entry is invalid as soon as its account changes.
 */
import { hash, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Principal } from '../access/permissions.js'
import { isSignInValid, type SignInFacts } from '../access/sign-in-validity.js'
import { DaybookError, isDaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import { principalOf } from './account.js'
import type { Accounts } from './accounts.js'
import { signInFactsOf } from './sign-in-facts.js'
import type { Failures } from './sign-in-failures.js'
import type { Tickets } from './tickets.js'
import { Tokens } from './tokens.js'
import type { WebTokens } from './web-tokens.js'

export interface SignInParts {
  accounts: Accounts
  tokens: Tokens
  tickets: Tickets
  /** Undefined: no identity provider is configured. */
  webTokens: WebTokens | undefined
  failures: Failures
  clock: Clock
}

export class SignIn {
  readonly #parts: SignInParts
  readonly #facts: SignInFacts
  readonly #key = randomBytes(32).toString('base64url')
  readonly #cache: LRUCache<string, Principal>
  readonly #attempts = new Map<string, Promise<Principal | undefined>>()

  constructor(parts: SignInParts) {
    this.#parts = parts
    this.#facts = signInFactsOf(parts.accounts, parts.tokens)
    this.#cache = new LRUCache({
      max: limits.credentials_cached_max,
      ttl: limits.credential_cache_ms,
      perf: { now: () => parts.clock.elapsed() }
    })
  }

  /**
   * Signs in with a login and password.
   * @param value the text after `Basic`
   * @param address of the client, for counting failed attempts
   * @returns undefined when the value does not contain a login and a password
   * @throws `wrong-credentials`, `too-many-attempts`, `overloaded`
   */
  byPassword(value: string, address: string): Principal | undefined | Promise<Principal | undefined> {
    return this.#cached(`Basic ${value}`) ?? this.#tryPassword(value, address)
  }

  /** Signs in with an API token or a web token. @throws `wrong-credentials`, `overloaded` */
  byToken(text: string, address: string): Principal | Promise<Principal> {
    const known = Tokens.looksLike(text) ? this.#parts.tokens.principalOf(text) : this.#cached(text)
    return known ?? this.#checkToken(text, address)
  }

  /** Signs in with a ticket. @throws `wrong-credentials` */
  byTicket(ticket: string, address: string): { principal: Principal; source: string } {
    const found = this.#parts.tickets.principalOf(ticket)
    if (found !== undefined) return found
    this.#parts.failures.record(address, undefined, 'ticket')
    throw new DaybookError(
      'wrong-credentials',
      'The ticket is not from this server, or no longer valid. Request another one.'
    )
  }

  /** Simultaneous requests with the same credentials share one attempt, because each attempt costs a password hash. */
  #tryPassword(value: string, address: string): Promise<Principal | undefined> {
    const name = this.#cacheKeyOf(`${address} Basic ${value}`)
    const same = this.#attempts.get(name)
    if (same !== undefined) return same
    const attempt = this.#checkPassword(value, address).finally(() => this.#attempts.delete(name))
    this.#attempts.set(name, attempt)
    return attempt
  }

  async #checkPassword(value: string, address: string): Promise<Principal | undefined> {
    const { accounts, failures } = this.#parts
    const pair = /^[A-Za-z0-9+/_-]+={0,2}$/.test(value) ? Buffer.from(value, 'base64').toString() : undefined
    if (pair !== undefined && !pair.includes(':')) return undefined
    failures.check(address)
    const [, login = '', password = ''] = /^([^:]*):(.*)$/s.exec(pair ?? '') ?? []
    const possible = login !== '' && Buffer.byteLength(password) <= limits.password_bytes_max
    const account = possible ? await accounts.verify(login, password) : undefined
    if (account !== undefined) return this.#cachePrincipal(`Basic ${value}`, principalOf(account))
    failures.count(address, accounts.get(login)?.login)
    throw new DaybookError('wrong-credentials', 'The login or the password is wrong, or the account is disabled.')
  }

  async #checkToken(text: string, address: string): Promise<Principal> {
    try {
      const principal = await this.#webTokenPrincipal(text)
      if (principal !== undefined) return this.#cachePrincipal(text, principal)
      throw new DaybookError('wrong-credentials', 'The token is not from this server, or no longer valid.')
    } catch (error) {
      // An unreachable identity provider is not a failed sign-in.
      const wrong = isDaybookError(error) && error.code === 'wrong-credentials'
      if (wrong) this.#parts.failures.record(address, undefined, 'token')
      throw error
    }
  }

  /** Returns the principal of an identity provider's token. A login that is also a local account is not accepted. */
  async #webTokenPrincipal(text: string): Promise<Principal | undefined> {
    const { webTokens, clock, accounts } = this.#parts
    if (webTokens === undefined || Tokens.looksLike(text) || text.split('.').length !== 3) return undefined
    const principal = await webTokens.principalOf(text, clock.now())
    const { login = '' } = principal ?? {}
    return accounts.get(login) === undefined ? principal : undefined
  }

  #cachePrincipal(credential: string, principal: Principal): Principal {
    this.#cache.set(this.#cacheKeyOf(credential), principal)
    return principal
  }

  #cached(credential: string): Principal | undefined {
    const name = this.#cacheKeyOf(credential)
    const principal = this.#cache.get(name)
    if (principal === undefined) return undefined
    if (isSignInValid(principal, this.#facts) && (principal.expires ?? Infinity) > this.#parts.clock.now())
      return principal
    this.#cache.delete(name)
    return undefined
  }

  /**
   * Returns a keyed hash of a credential. Every request with credentials pays for it, and one call costs a third of an
   * HMAC. A key in front is enough, because SHA-512/256 is safe against length extension.
   */
  #cacheKeyOf(credential: string): string {
    return hash('sha512-256', this.#key + credential, 'base64url')
  }
}
