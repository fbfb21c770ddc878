/**
 * Tickets: what a browser puts into an address when it cannot set a header (EventSource, WebSocket). Each is signed with
 * a key that this process alone has, and good for a short time, for reading one source through one filter.
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
  /** The address that it opens, its parameters in a fixed order. */
  readonly source: string
  readonly login: string
  /** Groups that no account of ours says. */
  readonly groups?: readonly string[] | undefined
  /** When those rights end by themselves, milliseconds. */
  readonly until?: number | undefined
  /** The account's version: the next change of the account ends the ticket. */
  readonly version?: number | undefined
  /** The token with which it was asked for: it is good as long as that is. */
  readonly token?: string | undefined
  /** Milliseconds since 1970. */
  readonly expires: number
  /** When it expires by the monotonic clock: setting the time of day back does not lengthen it. */
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
   * @param source the address that it opens, as `liveQueryOf` writes it
   * @param seconds how long it can be used; what it has opened stays open
   * @throws `not-permitted` for a caller who has not signed in, or came with a ticket
   */
  issue(principal: Principal, source: string, seconds: number): { ticket: string; expires: number } {
    const { login, by, groups, token } = principal
    if (login === undefined || by === 'ticket') {
      throw new DaybookError('not-permitted', 'A ticket is given to who has signed in by other means.')
    }
    const { clock } = this.#parts
    const lasts = Math.min(seconds, limits.ticket_seconds_max) * 1000
    const asked = clock.now() + lasts
    const expires = Math.min(asked, principal.expires ?? asked)
    const foreign = by === 'jwt' || by === 'insecure'
    const said: TicketPayload = {
      source,
      login,
      token,
      expires,
      ends: clock.elapsed() + lasts,
      ...(foreign ? { groups, until: principal.expires } : { version: this.#parts.accounts.get(login)?.version })
    }
    const text = Buffer.from(JSON.stringify(said)).toString('base64url')
    return { ticket: `${text}.${this.#sign(text)}`, expires }
  }

  /** Whose ticket a text is, and which source it opens; undefined when it is none, or good no more. */
  principalOf(ticket: string): { principal: Principal; source: string } | undefined {
    const [text = '', signature = ''] = ticket.split('.', 2)
    const [wanted, got] = [Buffer.from(this.#sign(text)), Buffer.from(signature)]
    if (wanted.length !== got.length || !timingSafeEqual(wanted, got)) return undefined
    const said = JSON.parse(Buffer.from(text, 'base64url').toString()) as TicketPayload
    const { clock } = this.#parts
    if (said.expires <= clock.now() || said.ends <= clock.elapsed()) return undefined
    const principal = this.#principalOf(said)
    return principal && { principal: { ...principal, by: 'ticket' }, source: said.source }
  }

  #principalOf({ login, token, groups, until, version }: TicketPayload): Principal | undefined {
    const { accounts, tokens } = this.#parts
    if (token !== undefined) return tokens.principalById(token)
    const account = accounts.get(login)
    if (groups !== undefined) {
      // A user of an identity provider: an account of this login belongs to another person.
      return account === undefined ? { login, groups, expires: until, accountVersion: 'none', by: 'ticket' } : undefined
    }
    if (account === undefined || account.disabled || account.version !== version) return undefined
    return principalOf(account)
  }

  #sign(text: string): string {
    return createHmac('sha256', this.#key).update(text).digest('base64url')
  }
}
