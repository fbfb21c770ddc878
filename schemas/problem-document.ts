/** The problem document (RFC 9457). */
import { Type } from 'typebox'

export const Problem = Type.Object(
  {
    type: Type.String({ description: '/problems/{code}: a page that says what it means.' }),
    code: Type.String({ description: 'What programs switch on. Never changes meaning.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What was wrong, what is allowed.' }),
    requestId: Type.Optional(Type.String()),
    written: Type.Optional(
      Type.Unsafe<boolean | 'unknown'>({
        enum: [false, 'unknown'],
        description:
          'On every answer to POST, PUT, PATCH and DELETE. `false`: nothing was written. `unknown`: it may have been; send it again with the same ids.'
      })
    ),
    retry: Type.Optional(
      Type.Boolean({ description: 'With `written`: whether the same request may succeed when it is sent again later.' })
    ),
    pointer: Type.Optional(
      Type.String({ description: 'What is wrong in the body, as a JSON pointer (RFC 6901); of NDJSON within `line`.' })
    )
  },
  { $id: 'Problem', description: 'Further members depend on the code.' }
)
