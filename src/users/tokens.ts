/**
 * API tokens: a secret that stands for a part of what an account may do. It is shown once; what is kept, as events in
 * `$tokens`, is a hash of it. Its entropy makes a fast hash enough.
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
/** Every token begins with it, so that scanners for leaked secrets find one. */
const PREFIX = 'dbk_'

export interface Token {
  readonly id: string
  /** What its owner calls it. */
  readonly name: string
  readonly login: string
  readonly scope: Scope
  /** Milliseconds. */
  readonly created: number
  /** Milliseconds; null: it lasts until it is revoked. */
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
  /** The principals of tokens whose account has not changed since. */
  readonly #principals = new WeakMap<Token, { readonly account: Account; readonly principal: Principal }>()
  readonly #listeners: (() => void)[] = []

  constructor(parts: TokensParts) {
    this.#parts = parts
  }

  /** Brings back what was written. Who is signed in stays so, as long as that says so. */
  async load(): Promise<void> {
    const byId = new Map<string, Token>()
    for await (const record of this.#parts.reader.records(STREAM, 'asc')) this.#fold(record, byId)
    this.#byId = byId
  }

  /** Hears of every event of a system stream. */
  committed(stream: string, record: StoredRecord): void {
    if (stream !== STREAM) return
    this.#fold(record, this.#byId)
    for (const listener of this.#listeners) listener()
  }

  /** What says nothing to us is passed over. */
  #fold(record: StoredRecord, byId: Map<string, Token>): void {
    if (record.tombstone) byId.clear()
    const said = tokenOf(record)
    if (said === undefined) return
    // A token never changes: the one that is known is the same.
    if (record.type === CREATED) byId.set(said.id, this.#byId.get(said.id) ?? said)
    else byId.delete(said.id)
  }

  /** Calls back when a token was made or revoked. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The tokens that a principal sees: its own, an administrator all. In the order in which they were made. */
  visibleTo(principal: Principal): Token[] {
    return isAdministrator(principal) ? [...this.#byId.values()] : this.#of(principal.login)
  }

  /** Tokens of an account, not those of an older one of the same login. */
  #of(login: string | undefined): Token[] {
    const { since = Infinity } = this.#parts.accounts.get(login ?? '') ?? {}
    return [...this.#byId.values()].filter((token) => token.login === login && token.created >= since)
  }

  /**
   * Makes a token for the account that asks.
   * @returns it, and the text that stands for it, which nobody can tell again
   * @throws `not-permitted` for a caller without an account here, or with less than all of its rights; `limit-reached`
   */
  async create(
    actor: Actor,
    asked: Pick<Token, 'name' | 'scope' | 'expires'>
  ): Promise<{ token: Token; text: string }> {
    const { login, by } = actor.principal
    if (by !== 'password' || login === undefined) {
      throw new DaybookError(
        'not-permitted',
        'A token is made by an account of this server that signs in with its password.'
      )
    }
    const now = this.#parts.clock.now()
    const lasting = this.#of(login).filter(({ expires }) => expires === null || expires > now)
    if (lasting.length >= limits.tokens_max) {
      throw new DaybookError('limit-reached', `"${login}" has ${limits.tokens_max} tokens; revoke some first.`, {
        limit: limits.tokens_max
      })
    }
    const id = randomBytes(9).toString('base64url')
    const secret = randomBytes(32).toString('base64url')
    const token: Token = {
      ...asked,
      id,
      login,
      // Never before its account, whatever the clock says.
      created: Math.max(now, this.#parts.accounts.get(login)?.since ?? 0),
      hash: hashOf(secret).toString('base64')
    }
    const { hash: _, ...shown } = token
    await this.#write(actor, 'TokenCreated', CREATED, token, shown)
    return { token, text: `${PREFIX}${id}.${secret}` }
  }

  /** @throws `token-not-found` also for a token of another account */
  async revoke(actor: Actor, id: string): Promise<void> {
    const token = this.visibleTo(actor.principal).find((one) => one.id === id)
    if (token === undefined) throw new DaybookError('token-not-found', `There is no token "${id.slice(0, 40)}".`)
    const { login, name } = token
    await this.#write(actor, 'TokenRevoked', REVOKED, { id }, { id, login, name })
  }

  /** Whose token a text is; undefined when it is none, was revoked or has expired, or its account may not sign in. */
  principalOf(text: string): Principal | undefined {
    const [, id = '', secret = ''] = /^dbk_([\w-]{1,40})\.([\w-]{1,100})$/.exec(text) ?? []
    const token = this.#byId.get(id)
    if (token === undefined || !timingSafeEqual(hashOf(secret), Buffer.from(token.hash, 'base64'))) return undefined
    return this.principalById(id)
  }

  /** As principalOf, without looking at the secret. */
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

  /** False for one that was revoked, or never made. */
  has(id: string): boolean {
    return this.#byId.has(id)
  }

  static looksLike(text: string): boolean {
    return text.startsWith(PREFIX)
  }

  async #write(actor: Actor, what: AuditType, type: string, content: object, said: object): Promise<void> {
    const events = [serverEvent(STREAM, type, content), auditEvent(what, actor, said)]
    await this.#parts.writer.append({ events, conditions: [], kind: 'append', askedBy: actor.principal })
  }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function tokenOf({ data, type }: StoredRecord): Token | undefined {
  if (type !== CREATED && type !== REVOKED) return undefined
  try {
    const said = JSON.parse(data?.toString() ?? '') as Token
    if (typeof said.id !== 'string') return undefined
    if (type === REVOKED) return said
    const { login, hash, scope, created, expires } = said
    const isList = (names: unknown) => Array.isArray(names) && names.every((name) => typeof name === 'string')
    const good =
      typeof login === 'string' &&
      Buffer.from(String(hash), 'base64').length === 32 &&
      isList(scope?.read) &&
      isList(scope?.write) &&
      Number.isSafeInteger(created) &&
      (expires === null || Number.isSafeInteger(expires))
    return good ? said : undefined
  } catch {
    return undefined
  }
}
