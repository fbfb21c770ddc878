/** An account, defined by the last event of its stream. */

import type { Principal } from '../access/permissions.js'
import type { StoredRecord } from '../log/format.js'
import { type HashedPassword, isHashedPassword, UNUSABLE } from './passwords.js'

export const USER_STREAMS = '$user-'
export const USER_CREATED = '$UserCreated'
export const USER_UPDATED = '$UserUpdated'
export const USER_DELETED = '$UserDeleted'

export interface Account {
  readonly login: string
  readonly fullName: string | null
  readonly groups: readonly string[] | null
  readonly disabled: boolean
  /** Undefined: it still has the default password, and no event with a hash was written. */
  readonly password: HashedPassword | undefined
  /** The password is the well-known default password. */
  readonly hasFirstPassword: boolean
  /** When the account was created, milliseconds. Older tokens belong to a deleted account of the same login. */
  readonly since: number
  /** Time of the last change, milliseconds. Two changes may have the same time. */
  readonly updated: number
  /** Number of the account's last event. It is different after every change. */
  readonly version: number
}

/** Returns the principal of a password sign-in. The next change of the account ends the sign-in. */
export function principalOf({ login, groups, since, version }: Account): Principal {
  return { login, groups: groups ?? [], since, accountVersion: version, by: 'password' }
}

/** Returns the data of an event that creates or changes an account. */
export function accountDocument({
  login,
  fullName,
  groups,
  disabled,
  password,
  hasFirstPassword,
  since
}: Account): object {
  return {
    loginName: login,
    fullName,
    groups,
    disabled,
    ...password,
    ...(hasFirstPassword && { firstPassword: true }),
    since: new Date(since).toISOString()
  }
}

/**
 * Returns the account that an event defines.
 * @returns `deleted` for a deletion; undefined when the event does not define an account
 */
export function accountOf(login: string, record: StoredRecord): Account | 'deleted' | undefined {
  if (record.type === USER_DELETED) return 'deleted'
  if (record.type !== USER_CREATED && record.type !== USER_UPDATED) return undefined
  let data: Record<string, unknown>
  try {
    data = JSON.parse(record.data?.toString() ?? '') as Record<string, unknown>
  } catch {
    return undefined
  }
  if (data === null || typeof data !== 'object' || data.loginName !== login) return undefined
  const { fullName, groups, since } = data
  const isList = Array.isArray(groups) && groups.every((group) => typeof group === 'string')
  const instant = typeof since === 'string' ? Date.parse(since) : Number.NaN
  return {
    login,
    fullName: typeof fullName === 'string' ? fullName : null,
    groups: isList ? groups : null,
    // An account whose data is not understood is disabled.
    disabled: data.disabled !== false || !isHashedPassword(data),
    password: isHashedPassword(data) ? { salt: data.salt, hash: data.hash, scheme: data.scheme } : UNUSABLE,
    hasFirstPassword: data.firstPassword === true,
    since: Number.isNaN(instant) ? record.created : instant,
    updated: record.created,
    version: record.number
  }
}
