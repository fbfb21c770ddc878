/**
 * Who asks: credentials of a request → a principal. A credential that was right is remembered for a while by a keyed
 * hash, so that not every request costs a password's hash, and forgotten at once when its account changes.
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
  readonly #known: LRUCache<string, Principal>
  readonly #trying = new Map<string, Promise<Principal | undefined>>()

  constructor(parts: SignInParts) {
    this.#parts = parts
    this.#facts = signInFactsOf(parts.accounts, parts.tokens)
    this.#known = new LRUCache({
      max: limits.credentials_known_max,
      ttl: limits.credential_known_ms,
      perf: { now: () => parts.clock.elapsed() }
    })
  }

  /**
   * @param value what stands after `Basic`
   * @param address of the client, for counting failed attempts
   * @returns undefined when it is no login and password at all
   * @throws `wrong-credentials`, `too-many-attempts`, `overloaded`
   */
  byPassword(value: string, address: string): Principal | undefined | Promise<Principal | undefined> {
    return this.#remembered(`Basic ${value}`) ?? this.#tryPassword(value, address)
  }

  /** @throws `wrong-credentials`, `overloaded` */
  byToken(text: string, address: string): Principal | Promise<Principal> {
    const known = Tokens.looksLike(text) ? this.#parts.tokens.principalOf(text) : this.#remembered(text)
    return known ?? this.#checkToken(text, address)
  }

  /** @throws `wrong-credentials` */
  byTicket(ticket: string, address: string): { principal: Principal; source: string } {
    const found = this.#parts.tickets.principalOf(ticket)
    if (found !== undefined) return found
    this.#parts.failures.gather(address, undefined, 'ticket')
    throw new DaybookError(
      'wrong-credentials',
      'The ticket is not one of this server, or no longer valid. Ask for another.'
    )
  }

  /** Requests that come with the same credentials at once share one attempt: each would cost a password's hash. */
  #tryPassword(value: string, address: string): Promise<Principal | undefined> {
    const name = this.#nameOf(`${address} Basic ${value}`)
    const same = this.#trying.get(name)
    if (same !== undefined) return same
    const attempt = this.#checkPassword(value, address).finally(() => this.#trying.delete(name))
    this.#trying.set(name, attempt)
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
    if (account !== undefined) return this.#remember(`Basic ${value}`, principalOf(account))
    failures.count(address, accounts.get(login)?.login)
    throw new DaybookError('wrong-credentials', 'The login or the password is wrong, or the account is disabled.')
  }

  async #checkToken(text: string, address: string): Promise<Principal> {
    try {
      const principal = await this.#providers(text)
      if (principal !== undefined) return this.#remember(text, principal)
      throw new DaybookError('wrong-credentials', 'The token is not one of this server, or no longer valid.')
    } catch (error) {
      // When the provider cannot be reached, the client has done nothing wrong.
      const wrong = isDaybookError(error) && error.code === 'wrong-credentials'
      if (wrong) this.#parts.failures.gather(address, undefined, 'token')
      throw error
    }
  }

  /** Whose token of the identity provider a text is. Its users are never taken for accounts of ours. */
  async #providers(text: string): Promise<Principal | undefined> {
    const { webTokens, clock, accounts } = this.#parts
    if (webTokens === undefined || Tokens.looksLike(text) || text.split('.').length !== 3) return undefined
    const principal = await webTokens.principalOf(text, clock.now())
    const { login = '' } = principal ?? {}
    return accounts.get(login) === undefined ? principal : undefined
  }

  #remember(credential: string, principal: Principal): Principal {
    this.#known.set(this.#nameOf(credential), principal)
    return principal
  }

  #remembered(credential: string): Principal | undefined {
    const name = this.#nameOf(credential)
    const principal = this.#known.get(name)
    if (principal === undefined) return undefined
    if (isSignInValid(principal, this.#facts) && (principal.expires ?? Infinity) > this.#parts.clock.now())
      return principal
    this.#known.delete(name)
    return undefined
  }

  /**
   * A keyed hash of a credential. One call costs a third of an HMAC, and every request with credentials pays for it; a
   * key in front is enough, since what SHA-512/256 gives cannot be extended.
   */
  #nameOf(credential: string): string {
    return hash('sha512-256', this.#key + credential, 'base64url')
  }
}
