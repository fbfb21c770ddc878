/** One account, as the last event of its stream says. */

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
  /** Undefined: it has the first password, which nobody has written down. */
  readonly password: HashedPassword | undefined
  /** The password is the one that everybody knows. */
  readonly hasFirstPassword: boolean
  /** When it was made, milliseconds: tokens that are older belong to one that was deleted. */
  readonly since: number
  /** Time of the last change, milliseconds. Two changes may have the same time. */
  readonly updated: number
  /** Another number after every change: that of the account's last event. */
  readonly version: number
}

/** The principal of a sign-in with the account's password. The next change of the account ends the sign-in. */
export function principalOf({ login, groups, since, version }: Account): Principal {
  return { login, groups: groups ?? [], since, accountVersion: version, by: 'password' }
}

/** What stands in an event that makes or changes an account. */
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
 * The account that an event leaves.
 * @returns `deleted`, or undefined when the event says nothing of an account
 */
export function accountOf(login: string, record: StoredRecord): Account | 'deleted' | undefined {
  if (record.type === USER_DELETED) return 'deleted'
  if (record.type !== USER_CREATED && record.type !== USER_UPDATED) return undefined
  let said: Record<string, unknown>
  try {
    said = JSON.parse(record.data?.toString() ?? '') as Record<string, unknown>
  } catch {
    return undefined
  }
  if (said === null || typeof said !== 'object' || said.loginName !== login) return undefined
  const { fullName, groups, since } = said
  const isList = Array.isArray(groups) && groups.every((group) => typeof group === 'string')
  const instant = typeof since === 'string' ? Date.parse(since) : Number.NaN
  return {
    login,
    fullName: typeof fullName === 'string' ? fullName : null,
    groups: isList ? groups : null,
    // What cannot be understood lets nobody in.
    disabled: said.disabled !== false || !isHashedPassword(said),
    password: isHashedPassword(said) ? { salt: said.salt, hash: said.hash, scheme: said.scheme } : UNUSABLE,
    hasFirstPassword: said.firstPassword === true,
    since: Number.isNaN(instant) ? record.created : instant,
    updated: record.created,
    version: record.number
  }
}
