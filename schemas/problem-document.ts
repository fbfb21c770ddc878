/** The problem document (RFC 9457). */
import { Type } from 'typebox'

export const Problem = Type.Object(
  {
    type: Type.String({ description: '/problems/{code}: a page that says what it means.' }),
    code: Type.String({ description: 'What programs switch on. Never changes meaning.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong, what is allowed.' }),
    requestId: Type.Optional(Type.String())
  },
  { $id: 'Problem', description: 'Further members depend on the code.' }
)
