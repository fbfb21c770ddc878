/** Accounts as the original's users API shows them (reference 15), API tokens, tickets. */
import { type Static, Type } from 'typebox'
import { limits } from '../../src/limits.js'

const groups = Type.Union([Type.Array(Type.String()), Type.Null()], {
  description: 'Roles beside the login: `$admins` and `$ops` are known to the server, others to access rules.'
})
const fullName = Type.Union([Type.String(), Type.Null()])
const inner = { msgTypeId: Type.Integer(), label: Type.String() }

export const UserShown = Type.Object(
  {
    loginName: Type.String(),
    fullName,
    groups,
    dateLastUpdated: Type.Union([Type.String({ format: 'date-time' }), Type.Null()]),
    disabled: Type.Boolean(),
    links: Type.Optional(Type.Array(Type.Object({ href: Type.String(), rel: Type.String() })))
  },
  { $id: 'UserShown' }
)
export type UserShown = Static<typeof UserShown>

export const UserAnswer = Type.Object(
  {
    data: Type.Union([Type.Ref('UserShown#'), Type.Null()]),
    success: Type.Boolean(),
    error: Type.String(),
    ...inner
  },
  { $id: 'UserAnswer' }
)
export const UserList = Type.Object(
  { data: Type.Array(Type.Ref('UserShown#')), success: Type.Boolean(), error: Type.String(), ...inner },
  { $id: 'UserList' }
)
export const UserResult = Type.Object(
  { loginName: Type.String(), success: Type.Boolean(), error: Type.String(), ...inner },
  { $id: 'UserResult' }
)

export const NewUser = Type.Object(
  {
    loginName: Type.String(),
    fullName: Type.Optional(fullName),
    groups: Type.Optional(groups),
    password: Type.String({ minLength: 1 })
  },
  { $id: 'NewUser' }
)
export type NewUser = Static<typeof NewUser>

export const ChangedUser = Type.Object(
  { fullName: Type.Optional(fullName), groups: Type.Optional(groups) },
  { $id: 'ChangedUser' }
)
export type ChangedUser = Static<typeof ChangedUser>

export const PasswordReset = Type.Object({ newPassword: Type.String({ minLength: 1 }) }, { $id: 'PasswordReset' })
export type PasswordReset = Static<typeof PasswordReset>

export const PasswordChange = Type.Object(
  { currentPassword: Type.String(), newPassword: Type.String({ minLength: 1 }) },
  { $id: 'PasswordChange' }
)
export type PasswordChange = Static<typeof PasswordChange>

const streams = Type.Array(
  Type.String({ pattern: '^(?!\\$all$)[^*]*\\*?$', minLength: 1, examples: ['cart-1', 'cart-*'] }),
  {
    maxItems: limits.token_streams_max,
    description:
      'Names of streams; one that ends in `*` means all that begin so. `*` leaves out system streams, `$*` means them.'
  }
)

export const NewToken = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200, description: 'What you call it.' }),
    read: Type.Optional(streams),
    write: Type.Optional(streams),
    expires: Type.Optional(
      Type.String({ description: 'An instant (RFC 3339) or a duration from now (ISO 8601: `P30D`). Absent: never.' })
    )
  },
  { $id: 'NewToken', additionalProperties: false }
)
export type NewToken = Static<typeof NewToken>

const token = {
  id: Type.String(),
  name: Type.String(),
  login: Type.String({ description: 'Whose it is: it may do what they may, within `read` and `write`.' }),
  read: streams,
  write: streams,
  created: Type.String({ format: 'date-time' }),
  expires: Type.Union([Type.String({ format: 'date-time' }), Type.Null()])
}
export const TokenShown = Type.Object(token, { $id: 'TokenShown' })
export type TokenShown = Static<typeof TokenShown>
export const TokenList = Type.Object({ tokens: Type.Array(Type.Ref('TokenShown#')) }, { $id: 'TokenList' })
export const TokenMade = Type.Object(
  { ...token, token: Type.String({ description: 'For `Authorization: Bearer`. It is shown this once.' }) },
  { $id: 'TokenMade' }
)

export const NewTicket = Type.Object(
  {
    source: Type.String({ description: 'What it opens: /events or /streams/{stream}, with filters after a `?`.' }),
    seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: limits.ticket_seconds_max,
        description: `How long it can be used; what it has opened stays open. Default ${limits.ticket_seconds_default}.`
      })
    )
  },
  { $id: 'NewTicket', additionalProperties: false }
)
export type NewTicket = Static<typeof NewTicket>

export const TicketMade = Type.Object(
  {
    ticket: Type.String({ description: 'For `?ticket=` where headers cannot be set.' }),
    source: Type.String(),
    expires: Type.String({ format: 'date-time' }),
    links: Type.Object({ live: Type.String({ description: 'The source with the ticket in its address.' }) })
  },
  { $id: 'TicketMade' }
)
