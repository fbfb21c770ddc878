/**
 * The accounts (reference 15). What is known of each is events in `$user-{login}`; `$users` lists their logins. The two
 * first accounts are there without an event until somebody changes them.
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

/** What an administrator says of an account. */
export interface AccountDetails {
  readonly fullName: string | null
  readonly groups: readonly string[] | null
}

export class Accounts implements SystemFollower {
  readonly #parts: AccountsParts
  #kept = firstAccounts()
  readonly #listeners: (() => void)[] = []
  /** Changes are made one after the other. */
  #changes: Promise<unknown> = Promise.resolve()

  constructor(parts: AccountsParts) {
    this.#parts = parts
  }

  /** Brings back what was written. An account that is as it was stays the same object. */
  async load(): Promise<void> {
    const { postings } = this.#parts
    const kept = firstAccounts()
    for await (const { name } of postings.all(family.stream, USER_STREAMS)) {
      const login = name.slice(USER_STREAMS.length)
      kept.set(login, await this.#latestOf(login))
    }
    this.#kept = kept
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
      const known = this.#kept.get(login)
      const same = known?.number === record.number ? known.value : undefined
      latest.say(account === 'deleted' ? undefined : (same ?? account), record.number)
      break
    }
    return latest
  }

  /** Hears of every event of a system stream. */
  committed(stream: string, record: StoredRecord): void {
    const described = isMetastream(stream) ? originalOf(stream) : stream
    if (!described.startsWith(USER_STREAMS)) return
    const login = described.slice(USER_STREAMS.length)
    const latest = this.#kept.get(login) ?? new LatestValue<Account>()
    this.#kept.set(login, latest)
    const before = latest.value
    const account = accountOf(login, record)
    if (stream !== described) latest.truncate(truncationOf(record))
    else if (record.tombstone) latest.end()
    else if (account !== undefined) latest.say(account === 'deleted' ? undefined : account, record.number)
    if (latest.value !== before) for (const listener of this.#listeners) listener()
  }

  /** Calls back when any account has changed. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Another object whenever anything of it has changed. */
  get(login: string): Account | undefined {
    return this.#kept.get(login)?.value
  }

  /** @throws `user-not-found` */
  need(login: string): Account {
    const account = this.get(login)
    if (account !== undefined) return account
    throw new DaybookError('user-not-found', `There is no user "${login.slice(0, 100)}".`)
  }

  /** By login, in the order of their bytes. */
  all(): Account[] {
    const accounts = [...this.#kept.values()].flatMap(({ value }) => value ?? [])
    return accounts.sort((a, b) => Buffer.compare(Buffer.from(a.login), Buffer.from(b.login)))
  }

  /** Whether a password is an account's, in a time that does not say whether there is one. @throws `overloaded` */
  async verify(login: string, password: string): Promise<Account | undefined> {
    const account = this.get(login)
    const kept =
      account !== undefined && account.password === undefined ? await hashOfFirstPassword() : account?.password
    const right = await verifyPassword(password, kept)
    // It may have been changed meanwhile.
    return right && account !== undefined && !account.disabled && this.get(login) === account ? account : undefined
  }

  /**
   * Gives first accounts whose password everybody knows another one.
   * @throws `bad-configuration` when one is left, and that is refused
   */
  async begin(passwords: Readonly<Record<string, string | undefined>>, refuseFirst: boolean): Promise<void> {
    const open = this.withFirstPassword()
    const left = open.filter((login) => (passwords[login] ?? FIRST_PASSWORD) === FIRST_PASSWORD)
    if (refuseFirst && left.length > 0) {
      const given = left.filter(isFirstLogin)
      const variables = given.map((login) => `DAYBOOK_${login.toUpperCase()}_PASSWORD`).join(' and ')
      throw new DaybookError(
        'bad-configuration',
        `${left.join(' and ')} can sign in with the password "${FIRST_PASSWORD}", and others than this machine can reach the server. ${variables === '' ? 'Change' : `Give ${variables}, or change`} the password on loopback first`
      )
    }
    for (const login of open) {
      const password = passwords[login]
      if (password === undefined || password === FIRST_PASSWORD) continue
      await this.#setPassword(undefined, login, 'PasswordReset', password)
    }
  }

  /** Accounts that can sign in with the password that everybody knows. */
  withFirstPassword(): string[] {
    return this.all().flatMap(({ login, hasFirstPassword, disabled }) => (hasFirstPassword && !disabled ? [login] : []))
  }

  /**
   * Makes an account; with the same password it may be there already, whatever else is said of it.
   * @throws `user-exists`, `invalid-user`, `overloaded`
   */
  create(actor: Actor, login: string, details: AccountDetails, password: string): Promise<void> {
    checkLogin(login)
    checkPassword(password)
    return this.#inTurn(async () => {
      const account = this.get(login)
      if (account !== undefined) {
        if ((await this.#isPasswordOf(account, password)) && !account.disabled) return
        throw new DaybookError('user-exists', `There is a user "${login}" already.`)
      }
      const { clock, log } = this.#parts
      // Later than every event of the log, whatever the clock says: tokens of a deleted account of this login stay older.
      const since = Math.max(clock.now(), log.lastCreated + 1)
      const made: Account = { ...NEW, login, ...details, since, ...(await passwordOf(password)) }
      const listed = serverEvent('$users', '$User', Buffer.from(login), 'text/plain')
      await this.#write(actor, 'UserCreated', USER_CREATED, made, [listed])
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

  /** At least one account must be able to administrate. @throws `last-administrator` */
  #needOtherAdministrator(login: string): void {
    const account = this.get(login)
    if (account === undefined || !administrates(account)) return
    if (this.all().some((other) => other !== account && administrates(other))) return
    throw new DaybookError('last-administrator', `"${login}" is the last who can administrate.`)
  }

  #setPassword(
    actor: Actor | undefined,
    login: string,
    what: AuditType,
    password: string,
    current?: string
  ): Promise<void> {
    checkPassword(password)
    return this.#inTurn(async () => {
      const account = this.need(login)
      if (current !== undefined && !(await this.#isPasswordOf(account, current))) {
        throw new DaybookError('wrong-password', 'The current password is another one.')
      }
      await this.#write(actor, what, USER_UPDATED, { ...account, ...(await passwordOf(password)) })
    })
  }

  async #isPasswordOf(account: Account, password: string): Promise<boolean> {
    return verifyPassword(password, account.password ?? (await hashOfFirstPassword()))
  }

  /** The change and its audit event stand in one batch. */
  async #write(
    actor: Actor | undefined,
    what: AuditType,
    type: string,
    account: Account,
    more: readonly NewEvent[] = []
  ): Promise<void> {
    // An account that was never written down has its password from here on.
    const password = account.password ?? (await hashOfFirstPassword())
    const { login, fullName, groups, disabled } = account
    const document = type === USER_DELETED ? { loginName: login } : accountDocument({ ...account, password })
    const said = what === 'UserCreated' || what === 'UserUpdated' ? { login, fullName, groups, disabled } : { login }
    const event = serverEvent(USER_STREAMS + login, type, document)
    const events = [event, ...more, auditEvent(what, actor, said)]
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
