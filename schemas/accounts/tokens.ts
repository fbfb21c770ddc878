/** API tokens: what is asked for, and how they are shown. */
import { type Static, Type } from 'typebox'
import { limits } from '../../src/limits.js'
import { ref } from '../ref.js'

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
export const TokenList = Type.Object({ tokens: Type.Array(ref(TokenShown)) }, { $id: 'TokenList' })
export const TokenMade = Type.Object(
  { ...token, token: Type.String({ description: 'For `Authorization: Bearer`. It is shown this once.' }) },
  { $id: 'TokenMade' }
)
