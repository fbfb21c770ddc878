/** Bodies and responses of the operations on /tokens. */
import { type Static, Type } from 'typebox'
import { limits } from '../../src/limits.js'
import { ref } from '../ref.js'

const streams = Type.Array(
  Type.String({ pattern: '^(?!\\$all$)[^*]*\\*?$', minLength: 1, examples: ['cart-1', 'cart-*'] }),
  {
    maxItems: limits.token_streams_max,
    description:
      'Stream names. A name that ends in `*` is a prefix. `*` means all streams except system streams, and `$*` all system streams.'
  }
)

export const NewToken = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200, description: 'A name of your choice.' }),
    read: Type.Optional(streams),
    write: Type.Optional(streams),
    expires: Type.Optional(
      Type.String({
        description:
          'When the token expires: an instant (RFC 3339) or a duration from now (ISO 8601: `P30D`). Default: never.'
      })
    )
  },
  { $id: 'NewToken', additionalProperties: false }
)
export type NewToken = Static<typeof NewToken>

const token = {
  id: Type.String(),
  name: Type.String(),
  login: Type.String({
    description: 'The account of the token. The token has the rights of this account, limited to `read` and `write`.'
  }),
  read: streams,
  write: streams,
  created: Type.String({ format: 'date-time' }),
  expires: Type.Union([Type.String({ format: 'date-time' }), Type.Null()])
}
export const TokenShown = Type.Object(token, { $id: 'TokenShown' })
export type TokenShown = Static<typeof TokenShown>
export const TokenList = Type.Object({ tokens: Type.Array(ref(TokenShown)) }, { $id: 'TokenList' })
export const TokenMade = Type.Object(
  { ...token, token: Type.String({ description: 'The value for `Authorization: Bearer`. Shown only once.' }) },
  { $id: 'TokenMade' }
)
