/** What sign-ins rest on, as the accounts and tokens stand at this moment. */
import type { SignInFacts } from '../access/sign-in-validity.js'
import type { Accounts } from './accounts.js'
import type { Tokens } from './tokens.js'

export function signInFactsOf(accounts: Accounts, tokens: Tokens): SignInFacts {
  return {
    versionOf: (login) => accounts.get(login)?.version,
    hasToken: (id) => tokens.has(id)
  }
}
