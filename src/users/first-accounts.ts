/** The accounts with which a log begins, as EventStoreDB's does (reference 14.1). No event says that they are there. */

import { LatestValue } from '../access/latest-value.js'
import { ADMINS, OPERATORS } from '../access/permissions.js'
import type { Account } from './account.js'
import { type HashedPassword, hashPassword } from './passwords.js'

/** Their password until somebody changes it. */
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

/** The accounts of a log in which nobody has changed them, by login. No truncation of a stream hides them. */
export function firstAccounts(): Map<string, LatestValue<Account>> {
  return new Map(
    FIRST_ACCOUNTS.map((account) => {
      const latest = new LatestValue<Account>()
      latest.say(account, Number.MAX_VALUE)
      return [account.login, latest]
    })
  )
}

export function isFirstLogin(login: string): boolean {
  return FIRST_ACCOUNTS.some((account) => account.login === login)
}

let hashed: Promise<HashedPassword> | undefined

/** The hash of FIRST_PASSWORD, made when it is first needed. @throws `overloaded` when too many passwords are being hashed */
export function hashOfFirstPassword(): Promise<HashedPassword> {
  hashed ??= hashPassword(FIRST_PASSWORD)
  hashed.catch(() => {
    hashed = undefined
  })
  return hashed
}
