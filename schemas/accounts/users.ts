/** Bodies and responses of /users, in the form of EventStoreDB's users API (reference 15). */
import { type Static, Type } from 'typebox'
import { ref } from '../ref.js'

const groups = Type.Union([Type.Array(Type.String()), Type.Null()], {
  description:
    'Roles of the account. `$admins` (administrators) and `$ops` (operators) have rights on the server; other roles have the rights that access rules give them.'
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
    data: Type.Union([ref(UserShown), Type.Null()]),
    success: Type.Boolean(),
    error: Type.String(),
    ...inner
  },
  { $id: 'UserAnswer' }
)
export const UserList = Type.Object(
  { data: Type.Array(ref(UserShown)), success: Type.Boolean(), error: Type.String(), ...inner },
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
