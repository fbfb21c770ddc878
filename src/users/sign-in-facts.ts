/** Current facts about accounts and tokens that decide whether a sign-in is still valid. */
import type { SignInFacts } from '../access/sign-in-validity.js'
import type { Accounts } from './accounts.js'
import type { Tokens } from './tokens.js'

export function signInFactsOf(accounts: Accounts, tokens: Tokens): SignInFacts {
  return {
    versionOf: (login) => accounts.get(login)?.version,
    hasToken: (id) => tokens.has(id)
  }
}
