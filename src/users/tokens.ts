/**
 * API tokens: secrets that grant a part of an account's rights. The secret is shown once. Events in `$tokens` store a
 * hash of it; the secret has enough entropy for a fast hash.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type AuditType, auditEvent } from '../access/audit.js'
import { type Actor, isAdministrator, type Principal, type Scope } from '../access/permissions.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { StoredRecord } from '../log/format.js'
import type { Reader } from '../reading/reader.js'
import { serverEvent } from '../streams/new-event.js'
import type { Clock } from '../time/clock.js'
import type { SystemFollower } from '../writing/commit-writer.js'
import type { Writer } from '../writing/writer.js'
import type { Account } from './account.js'
import type { Accounts } from './accounts.js'

const STREAM = '$tokens'
const CREATED = '$TokenCreated'
const REVOKED = '$TokenRevoked'
/** Prefix of every token, so that scanners for leaked secrets recognise it. */
const PREFIX = 'dbk_'

export interface Token {
  readonly id: string
  /** A name chosen by the owner. */
  readonly name: string
  readonly login: string
  readonly scope: Scope
  /** Milliseconds. */
  readonly created: number
  /** Milliseconds; null: valid until it is revoked. */
  readonly expires: number | null
  /** SHA-256 of the secret, base64. */
  readonly hash: string
}

export interface TokensParts {
  reader: Reader
  writer: Writer
  accounts: Accounts
  clock: Clock
}

export class Tokens implements SystemFollower {
  readonly #parts: TokensParts
  #byId = new Map<string, Token>()
  /** Cached principals by token, valid until the account changes. */
  readonly #principals = new WeakMap<Token, { readonly account: Account; readonly principal: Principal }>()
  readonly #listeners: (() => void)[] = []

  constructor(parts: TokensParts) {
    this.#parts = parts
  }

  /** Loads the tokens from the log. A known token keeps its object, so cached sign-ins stay valid. */
  async load(): Promise<void> {
    const byId = new Map<string, Token>()
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) this.#fold(record, byId)
    this.#byId = byId
  }

  /** Updates the tokens from an event of a system stream. */
  committed(stream: string, record: StoredRecord): void {
    if (stream !== STREAM) return
    this.#fold(record, this.#byId)
    for (const listener of this.#listeners) listener()
  }

  /** Applies an event to the tokens. Ignores events that are not understood. */
  #fold(record: StoredRecord, byId: Map<string, Token>): void {
    if (record.tombstone) byId.clear()
    const token = tokenOf(record)
    if (token === undefined) return
    // A token never changes, so keep the known object.
    if (record.type === CREATED) byId.set(token.id, this.#byId.get(token.id) ?? token)
    else byId.delete(token.id)
  }

  /** Registers a listener for created and revoked tokens. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Returns the tokens of a principal; all tokens for an administrator. In the order of creation. */
  visibleTo(principal: Principal): Token[] {
    return isAdministrator(principal) ? [...this.#byId.values()] : this.#of(principal.login)
  }

  /** Returns the tokens of an account, without those of a deleted account of the same login. */
  #of(login: string | undefined): Token[] {
    const { since = Infinity } = this.#parts.accounts.get(login ?? '') ?? {}
    return [...this.#byId.values()].filter((token) => token.login === login && token.created >= since)
  }

  /**
   * Creates a token for the calling account.
   * @returns the token and its text with the secret, which cannot be recovered later
   * @throws `not-permitted` for a caller that did not sign in with a local account's password; `limit-reached`
   */
  async create(
    actor: Actor,
    request: Pick<Token, 'name' | 'scope' | 'expires'>
  ): Promise<{ token: Token; text: string }> {
    const { login, by } = actor.principal
    if (by !== 'password' || login === undefined) {
      throw new DaybookError(
        'not-permitted',
        'Only an account of this server that signed in with its password can create a token.'
      )
    }
    const now = this.#parts.clock.now()
    const valid = this.#of(login).filter(({ expires }) => expires === null || expires > now)
    if (valid.length >= limits.tokens_max) {
      throw new DaybookError('limit-reached', `"${login}" has ${limits.tokens_max} tokens; revoke some first.`, {
        limit: limits.tokens_max
      })
    }
    const id = randomBytes(9).toString('base64url')
    const secret = randomBytes(32).toString('base64url')
    const token: Token = {
      ...request,
      id,
      login,
      // Never before the account's creation, even if the clock was set back.
      created: Math.max(now, this.#parts.accounts.get(login)?.since ?? 0),
      hash: hashOf(secret).toString('base64')
    }
    const { hash: _, ...shown } = token
    await this.#write(actor, 'TokenCreated', CREATED, token, shown)
    return { token, text: `${PREFIX}${id}.${secret}` }
  }

  /** Revokes a token. @throws `token-not-found`, also for a token of another account */
  async revoke(actor: Actor, id: string): Promise<void> {
    const token = this.visibleTo(actor.principal).find((one) => one.id === id)
    if (token === undefined) throw new DaybookError('token-not-found', `There is no token "${id.slice(0, 40)}".`)
    const { login, name } = token
    await this.#write(actor, 'TokenRevoked', REVOKED, { id }, { id, login, name })
  }

  /** Returns the principal of a token's text; undefined when it is not valid or its account is disabled. */
  principalOf(text: string): Principal | undefined {
    const [, id = '', secret = ''] = /^dbk_([\w-]{1,40})\.([\w-]{1,100})$/.exec(text) ?? []
    const token = this.#byId.get(id)
    if (token === undefined || !timingSafeEqual(hashOf(secret), Buffer.from(token.hash, 'base64'))) return undefined
    return this.principalById(id)
  }

  /** As `principalOf`, but without checking the secret. */
  principalById(id: string): Principal | undefined {
    const token = this.#byId.get(id)
    const account = token && this.#parts.accounts.get(token.login)
    if (token === undefined || account === undefined || account.disabled || account.since > token.created)
      return undefined
    if (token.expires !== null && token.expires <= this.#parts.clock.now()) return undefined
    const known = this.#principals.get(token)
    if (known?.account === account) return known.principal
    const principal: Principal = {
      login: token.login,
      groups: account.groups ?? [],
      since: account.since,
      scope: token.scope,
      token: id,
      expires: token.expires ?? undefined,
      accountVersion: account.version,
      by: 'token'
    }
    this.#principals.set(token, { account, principal })
    return principal
  }

  /** Returns false for a revoked or unknown token. */
  has(id: string): boolean {
    return this.#byId.has(id)
  }

  static looksLike(text: string): boolean {
    return text.startsWith(PREFIX)
  }

  async #write(actor: Actor, auditType: AuditType, type: string, content: object, auditData: object): Promise<void> {
    const events = [serverEvent(STREAM, type, content), auditEvent(auditType, actor, auditData)]
    await this.#parts.writer.append({ events, conditions: [], kind: 'append', askedBy: actor.principal })
  }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function tokenOf({ data, type }: StoredRecord): Token | undefined {
  if (type !== CREATED && type !== REVOKED) return undefined
  try {
    const token = JSON.parse(data?.toString() ?? '') as Token
    if (typeof token.id !== 'string') return undefined
    if (type === REVOKED) return token
    const { login, hash, scope, created, expires } = token
    const isList = (names: unknown) => Array.isArray(names) && names.every((name) => typeof name === 'string')
    const good =
      typeof login === 'string' &&
      Buffer.from(String(hash), 'base64').length === 32 &&
      isList(scope?.read) &&
      isList(scope?.write) &&
      Number.isSafeInteger(created) &&
      (expires === null || Number.isSafeInteger(expires))
    return good ? token : undefined
  } catch {
    return undefined
  }
}
