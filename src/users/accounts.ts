/**
 * The accounts (reference 15). Each is stored as events in `$user-{login}`; `$users` lists the logins. The two default
 * accounts exist without an event until they are changed.
 */

import { type AuditType, auditEvent } from '../access/audit.js'
import { LatestValue } from '../access/latest-value.js'
import { type Actor, hasAdminsRole } from '../access/permissions.js'
import { DaybookError } from '../errors.js'
import type { Postings } from '../index/posting-lists.js'
import type { StreamStates } from '../index/stream-states.js'
import { family, type StoredRecord } from '../log/format.js'
import type { Log } from '../log/log.js'
import type { Reader } from '../reading/reader.js'
import { isMetastream, originalOf } from '../streams/names.js'
import type { NewEvent } from '../streams/new-event.js'
import { serverEvent } from '../streams/new-event.js'
import { truncationOf } from '../streams/stream-state.js'
import type { Clock } from '../time/clock.js'
import type { SystemFollower } from '../writing/commit-writer.js'
import type { Writer } from '../writing/writer.js'
import {
  type Account,
  accountDocument,
  accountOf,
  USER_CREATED,
  USER_DELETED,
  USER_STREAMS,
  USER_UPDATED
} from './account.js'
import { checkLogin, checkPassword } from './credential-rules.js'
import { FIRST_PASSWORD, firstAccounts, hashOfFirstPassword, isFirstLogin } from './first-accounts.js'
import { hashPassword, verifyPassword } from './passwords.js'

export interface AccountsParts {
  log: Pick<Log, 'lastCreated'>
  reader: Reader
  postings: Postings
  states: StreamStates
  writer: Writer
  clock: Clock
}

/** The properties of an account that an administrator sets. */
export interface AccountDetails {
  readonly fullName: string | null
  readonly groups: readonly string[] | null
}

export class Accounts implements SystemFollower {
  readonly #parts: AccountsParts
  #accounts = firstAccounts()
  readonly #listeners: (() => void)[] = []
  /** Changes run one after the other. */
  #changes: Promise<unknown> = Promise.resolve()

  constructor(parts: AccountsParts) {
    this.#parts = parts
  }

  /** Loads the accounts from the log. An unchanged account keeps its object. */
  async load(): Promise<void> {
    const { postings } = this.#parts
    const accounts = firstAccounts()
    for await (const { name } of postings.all(family.stream, USER_STREAMS)) {
      const login = name.slice(USER_STREAMS.length)
      accounts.set(login, await this.#latestOf(login))
    }
    this.#accounts = accounts
  }

  async #latestOf(login: string): Promise<LatestValue<Account>> {
    const { reader, states } = this.#parts
    const stream = USER_STREAMS + login
    const { tombstone, metadata } = await states.of(stream)
    const latest = new LatestValue<Account>()
    latest.truncate(metadata.truncateBefore ?? 0)
    if (tombstone) return latest
    for await (const record of reader.records(stream, 'desc')) {
      const account = accountOf(login, record)
      if (account === undefined) continue
      const known = this.#accounts.get(login)
      const same = known?.number === record.number ? known.value : undefined
      latest.set(account === 'deleted' ? undefined : (same ?? account), record.number)
      break
    }
    return latest
  }

  /** Updates the accounts from an event of a system stream. */
  committed(stream: string, record: StoredRecord): void {
    const described = isMetastream(stream) ? originalOf(stream) : stream
    if (!described.startsWith(USER_STREAMS)) return
    const login = described.slice(USER_STREAMS.length)
    const latest = this.#accounts.get(login) ?? new LatestValue<Account>()
    this.#accounts.set(login, latest)
    const before = latest.value
    const account = accountOf(login, record)
    if (stream !== described) latest.truncate(truncationOf(record))
    else if (record.tombstone) latest.clear()
    else if (account !== undefined) latest.set(account === 'deleted' ? undefined : account, record.number)
    if (latest.value !== before) for (const listener of this.#listeners) listener()
  }

  /** Registers a listener for changes of any account. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Returns the account. Every change creates a new object. */
  get(login: string): Account | undefined {
    return this.#accounts.get(login)?.value
  }

  /** @throws `user-not-found` */
  need(login: string): Account {
    const account = this.get(login)
    if (account !== undefined) return account
    throw new DaybookError('user-not-found', `There is no user "${login.slice(0, 100)}".`)
  }

  /** Returns all accounts, ordered by the bytes of their logins. */
  all(): Account[] {
    const accounts = [...this.#accounts.values()].flatMap(({ value }) => value ?? [])
    return accounts.sort((a, b) => Buffer.compare(Buffer.from(a.login), Buffer.from(b.login)))
  }

  /**
   * Returns the account if the password is right and the account is enabled. Takes the same time whether or not the
   * account exists.
   * @throws `overloaded`
   */
  async verify(login: string, password: string): Promise<Account | undefined> {
    const account = this.get(login)
    const stored =
      account !== undefined && account.password === undefined ? await hashOfFirstPassword() : account?.password
    const right = await verifyPassword(password, stored)
    // The account may have changed during the await.
    return right && account !== undefined && !account.disabled && this.get(login) === account ? account : undefined
  }

  /**
   * Sets the given passwords on accounts that still have the default password.
   * @throws `bad-configuration` when an account keeps the default password and `refuseFirst` is true
   */
  async begin(passwords: Readonly<Record<string, string | undefined>>, refuseFirst: boolean): Promise<void> {
    const open = this.withFirstPassword()
    const unchanged = open.filter((login) => (passwords[login] ?? FIRST_PASSWORD) === FIRST_PASSWORD)
    if (refuseFirst && unchanged.length > 0) {
      const defaultLogins = unchanged.filter(isFirstLogin)
      const variables = defaultLogins.map((login) => `DAYBOOK_${login.toUpperCase()}_PASSWORD`).join(' and ')
      throw new DaybookError(
        'bad-configuration',
        `${unchanged.join(' and ')} can sign in with the default password "${FIRST_PASSWORD}", and other machines can reach the server. ${variables === '' ? 'Change' : `Set ${variables}, or change`} the password on loopback first`
      )
    }
    for (const login of open) {
      const password = passwords[login]
      if (password === undefined || password === FIRST_PASSWORD) continue
      await this.#setPassword(undefined, login, 'PasswordReset', password)
    }
  }

  /** Returns the logins of enabled accounts that have the default password. */
  withFirstPassword(): string[] {
    return this.all().flatMap(({ login, hasFirstPassword, disabled }) => (hasFirstPassword && !disabled ? [login] : []))
  }

  /**
   * Creates an account. Succeeds without a change when an enabled account with the same login and password exists.
   * @throws `user-exists`, `invalid-user`, `overloaded`
   */
  create(actor: Actor, login: string, details: AccountDetails, password: string): Promise<void> {
    checkLogin(login)
    checkPassword(password)
    return this.#inTurn(async () => {
      const account = this.get(login)
      if (account !== undefined) {
        if ((await this.#isPasswordOf(account, password)) && !account.disabled) return
        throw new DaybookError('user-exists', `User "${login}" exists already.`)
      }
      const { clock, log } = this.#parts
      // Later than every event of the log under any clock. So tokens of a deleted account of this login stay older.
      const since = Math.max(clock.now(), log.lastCreated + 1)
      const created: Account = { ...NEW, login, ...details, since, ...(await passwordOf(password)) }
      const listed = serverEvent('$users', '$User', Buffer.from(login), 'text/plain')
      await this.#write(actor, 'UserCreated', USER_CREATED, created, [listed])
    })
  }

  /** @throws `user-not-found`, `last-administrator` */
  update(actor: Actor, login: string, details: AccountDetails): Promise<void> {
    return this.#inTurn(async () => {
      const changed = { ...this.need(login), ...details, login }
      if (!administrates(changed)) this.#needOtherAdministrator(login)
      await this.#write(actor, 'UserUpdated', USER_UPDATED, changed)
    })
  }

  /** @throws `user-not-found`, `last-administrator` */
  setDisabled(actor: Actor, login: string, disabled: boolean): Promise<void> {
    return this.#inTurn(async () => {
      const account = this.need(login)
      if (account.disabled === disabled) return
      if (disabled) this.#needOtherAdministrator(login)
      await this.#write(actor, disabled ? 'UserDisabled' : 'UserEnabled', USER_UPDATED, { ...account, disabled })
    })
  }

  /** @throws `user-not-found`, `invalid-user`, `overloaded` */
  resetPassword(actor: Actor, login: string, password: string): Promise<void> {
    return this.#setPassword(actor, login, 'PasswordReset', password)
  }

  /** @throws `user-not-found`, `wrong-password`, `invalid-user`, `overloaded` */
  changePassword(actor: Actor, login: string, current: string, password: string): Promise<void> {
    return this.#setPassword(actor, login, 'PasswordChanged', password, current)
  }

  /** @throws `user-not-found`, `last-administrator` */
  remove(actor: Actor, login: string): Promise<void> {
    return this.#inTurn(async () => {
      const account = this.need(login)
      this.#needOtherAdministrator(login)
      await this.#write(actor, 'UserDeleted', USER_DELETED, account)
    })
  }

  /** Checks that another account can administrate. @throws `last-administrator` */
  #needOtherAdministrator(login: string): void {
    const account = this.get(login)
    if (account === undefined || !administrates(account)) return
    if (this.all().some((other) => other !== account && administrates(other))) return
    throw new DaybookError(
      'last-administrator',
      `"${login}" is the last administrator. Add another administrator first.`
    )
  }

  #setPassword(
    actor: Actor | undefined,
    login: string,
    auditType: AuditType,
    password: string,
    current?: string
  ): Promise<void> {
    checkPassword(password)
    return this.#inTurn(async () => {
      const account = this.need(login)
      if (current !== undefined && !(await this.#isPasswordOf(account, current))) {
        throw new DaybookError('wrong-password', 'The current password is wrong.')
      }
      await this.#write(actor, auditType, USER_UPDATED, { ...account, ...(await passwordOf(password)) })
    })
  }

  async #isPasswordOf(account: Account, password: string): Promise<boolean> {
    return verifyPassword(password, account.password ?? (await hashOfFirstPassword()))
  }

  /** Appends a change and its audit event in one batch. */
  async #write(
    actor: Actor | undefined,
    auditType: AuditType,
    type: string,
    account: Account,
    more: readonly NewEvent[] = []
  ): Promise<void> {
    // A default account without an event gets its password hash here.
    const password = account.password ?? (await hashOfFirstPassword())
    const { login, fullName, groups, disabled } = account
    const document = type === USER_DELETED ? { loginName: login } : accountDocument({ ...account, password })
    const auditData =
      auditType === 'UserCreated' || auditType === 'UserUpdated' ? { login, fullName, groups, disabled } : { login }
    const event = serverEvent(USER_STREAMS + login, type, document)
    const events = [event, ...more, auditEvent(auditType, actor, auditData)]
    await this.#parts.writer.append({ events, conditions: [], kind: 'append', askedBy: actor?.principal })
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change)
    this.#changes = result.catch(() => {})
    return result
  }
}

const NEW = { disabled: false, updated: 0, version: 0 } as const

function administrates(account: Account): boolean {
  return !account.disabled && hasAdminsRole({ login: account.login, groups: account.groups ?? [] })
}

async function passwordOf(password: string): Promise<Pick<Account, 'password' | 'hasFirstPassword'>> {
  return { password: await hashPassword(password), hasFirstPassword: password === FIRST_PASSWORD }
}
