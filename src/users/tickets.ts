/**
 * Tickets: credentials that a browser puts into a URL when it cannot set a header (EventSource, WebSocket). Each is
 * signed with a key that only this process has. It is valid for a short time and for one source with one filter.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Principal } from '../access/permissions.js'
import { DaybookError } from '../errors.js'
import { limits } from '../limits.js'
import type { Clock } from '../time/clock.js'
import { principalOf } from './account.js'
import type { Accounts } from './accounts.js'
import type { Tokens } from './tokens.js'

interface TicketPayload {
  /** The address that the ticket grants, with its parameters in a fixed order. */
  readonly source: string
  readonly login: string
  /** Groups of a user without a local account. */
  readonly groups?: readonly string[] | undefined
  /** When the rights of such a user expire, milliseconds. */
  readonly until?: number | undefined
  /** The account's version. The next change of the account invalidates the ticket. */
  readonly version?: number | undefined
  /** The token that requested the ticket. The ticket is valid only as long as this token. */
  readonly token?: string | undefined
  /** Milliseconds since 1970. */
  readonly expires: number
  /** Expiry by the monotonic clock, milliseconds. So setting the system clock back does not extend the ticket. */
  readonly ends: number
}

export interface TicketsParts {
  accounts: Accounts
  tokens: Tokens
  clock: Clock
}

export class Tickets {
  readonly #parts: TicketsParts
  readonly #key = randomBytes(32)

  constructor(parts: TicketsParts) {
    this.#parts = parts
  }

  /**
   * Issues a ticket.
   * @param source the granted address, as `liveQueryOf` writes it
   * @param seconds validity; a connection opened with the ticket stays open after that
   * @throws `not-permitted` for a caller that is not signed in or used a ticket
   */
  issue(principal: Principal, source: string, seconds: number): { ticket: string; expires: number } {
    const { login, by, groups, token } = principal
    if (login === undefined || by === 'ticket') {
      throw new DaybookError('not-permitted', 'A ticket requires a sign-in with a password or a token.')
    }
    const { clock } = this.#parts
    const lasts = Math.min(seconds, limits.ticket_seconds_max) * 1000
    const requested = clock.now() + lasts
    const expires = Math.min(requested, principal.expires ?? requested)
    const hasNoAccount = by === 'jwt' || by === 'insecure'
    const payload: TicketPayload = {
      source,
      login,
      token,
      expires,
      ends: clock.elapsed() + lasts,
      ...(hasNoAccount ? { groups, until: principal.expires } : { version: this.#parts.accounts.get(login)?.version })
    }
    const text = Buffer.from(JSON.stringify(payload)).toString('base64url')
    return { ticket: `${text}.${this.#sign(text)}`, expires }
  }

  /** Returns the principal of a ticket and the source that it grants; undefined when it is not valid. */
  principalOf(ticket: string): { principal: Principal; source: string } | undefined {
    const [text = '', signature = ''] = ticket.split('.', 2)
    const [wanted, got] = [Buffer.from(this.#sign(text)), Buffer.from(signature)]
    if (wanted.length !== got.length || !timingSafeEqual(wanted, got)) return undefined
    const payload = JSON.parse(Buffer.from(text, 'base64url').toString()) as TicketPayload
    const { clock } = this.#parts
    if (payload.expires <= clock.now() || payload.ends <= clock.elapsed()) return undefined
    const principal = this.#principalOf(payload)
    return principal && { principal: { ...principal, by: 'ticket' }, source: payload.source }
  }

  #principalOf({ login, token, groups, until, version }: TicketPayload): Principal | undefined {
    const { accounts, tokens } = this.#parts
    if (token !== undefined) return tokens.principalById(token)
    const account = accounts.get(login)
    if (groups !== undefined) {
      // A user of an identity provider. A local account with the same login belongs to another person.
      return account === undefined ? { login, groups, expires: until, accountVersion: 'none', by: 'ticket' } : undefined
    }
    if (account === undefined || account.disabled || account.version !== version) return undefined
    return principalOf(account)
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }
}
