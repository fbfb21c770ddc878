/**
 * Decides whether a sign-in is still valid: compares the account version and token of a principal with the current
 * accounts and tokens. Pure.
 */
import { DaybookError } from '../errors.js'
import type { Principal } from './permissions.js'

/** The current accounts and tokens. */
export interface SignInFacts {
  /** Returns the version of the account, which differs after every change; undefined: there is no such account. */
  versionOf(login: string): number | undefined
  /** Returns false when the token was revoked. */
  hasToken(id: string): boolean
}

/** Returns false when the account was changed or the token revoked since sign-in. Ignores expiry. */
export function isSignInValid({ login, accountVersion, token }: Principal, facts: SignInFacts): boolean {
  if (accountVersion === undefined) return true
  const now = facts.versionOf(login as string)
  if (now !== (accountVersion === 'none' ? undefined : accountVersion)) return false
  return token === undefined || facts.hasToken(token)
}

/**
 * Returns why a sign-in is not valid any more.
 * @param now in milliseconds
 * @returns a `sign-in-required` error; undefined when the sign-in is valid
 */
export function signInRefusal(principal: Principal, facts: SignInFacts, now: number): DaybookError | undefined {
  const details = { written: false, retry: false }
  if (!isSignInValid(principal, facts)) {
    return new DaybookError(
      'sign-in-required',
      'The account was changed or the token was revoked. Sign in again.',
      details
    )
  }
  if ((principal.expires ?? Infinity) > now) return undefined
  return new DaybookError('sign-in-required', 'The token or ticket has expired. Use a new one.', details)
}
