/**
 * Whether a sign-in still counts. A principal says as plain values what its sign-in rests on; this compares them with the
 * accounts and tokens that there are. Pure.
 */
import { DaybookError } from '../errors.js'
import type { Principal } from './permissions.js'

/** The accounts and tokens that there are. */
export interface SignInFacts {
  /** The version of the account of this login, another number after every change; undefined: there is no such account. */
  versionOf(login: string): number | undefined
  /** False when the token was revoked. */
  hasToken(id: string): boolean
}

/** False when the account was changed, or the token revoked, since the caller signed in. */
export function isSignInValid({ login, accountVersion, token }: Principal, facts: SignInFacts): boolean {
  if (accountVersion === undefined) return true
  const now = facts.versionOf(login as string)
  if (now !== (accountVersion === 'none' ? undefined : accountVersion)) return false
  return token === undefined || facts.hasToken(token)
}

/**
 * Why a caller who had signed in is not signed in any more.
 * @param now milliseconds
 * @returns `sign-in-required`, or undefined when the sign-in counts
 */
export function signInRefusal(principal: Principal, facts: SignInFacts, now: number): DaybookError | undefined {
  const details = { written: false, retry: false }
  if (!isSignInValid(principal, facts)) {
    return new DaybookError(
      'sign-in-required',
      'The account was changed, or the token revoked. Sign in again.',
      details
    )
  }
  if ((principal.expires ?? Infinity) > now) return undefined
  return new DaybookError('sign-in-required', 'The token or ticket has expired.', details)
}
