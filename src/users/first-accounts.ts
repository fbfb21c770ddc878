/** The default accounts of a new log, as in EventStoreDB (reference 14.1). They exist without an event. */

import { LatestValue } from '../access/latest-value.js'
import { ADMINS, OPERATORS } from '../access/permissions.js'
import type { Account } from './account.js'
import { type HashedPassword, hashPassword } from './passwords.js'

/** Their default password, valid until it is changed. */
export const FIRST_PASSWORD = 'changeit'

const FIRST_ACCOUNTS: readonly Account[] = [
  firstAccount('admin', 'Event Store Administrator', ADMINS),
  firstAccount('ops', 'Event Store Operations', OPERATORS)
]

function firstAccount(login: string, fullName: string, group: string): Account {
  return {
    login,
    fullName,
    groups: [group],
    disabled: false,
    password: undefined,
    hasFirstPassword: true,
    since: 0,
    updated: 0,
    version: -1
  }
}

/** Returns the default accounts in their initial state, by login. Truncation of a stream does not hide them. */
export function firstAccounts(): Map<string, LatestValue<Account>> {
  return new Map(
    FIRST_ACCOUNTS.map((account) => {
      const latest = new LatestValue<Account>()
      latest.set(account, Number.MAX_VALUE)
      return [account.login, latest]
    })
  )
}

export function isFirstLogin(login: string): boolean {
  return FIRST_ACCOUNTS.some((account) => account.login === login)
}

let hashed: Promise<HashedPassword> | undefined

/** Returns the hash of FIRST_PASSWORD, computed on first use. @throws `overloaded` when too many hashes are queued */
export function hashOfFirstPassword(): Promise<HashedPassword> {
  hashed ??= hashPassword(FIRST_PASSWORD)
  hashed.catch(() => {
    hashed = undefined
  })
  return hashed
}
