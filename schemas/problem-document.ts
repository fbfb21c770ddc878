/** The problem document (RFC 9457). */
import { Type } from 'typebox'

export const Problem = Type.Object(
  {
    type: Type.String({ description: '`/problems/{code}`: address of a page that explains the problem.' }),
    code: Type.String({ description: 'The code that programs test. The meaning of a code never changes.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong with this request, and what is allowed.' }),
    requestId: Type.Optional(Type.String()),
    written: Type.Optional(
      Type.Unsafe<boolean | 'unknown'>({
        enum: [false, 'unknown'],
        description:
          'Present on every problem that answers POST, PUT, PATCH or DELETE. `false`: nothing was written. `unknown`: the write may have happened; send it again with the same ids.'
      })
    ),
    retry: Type.Optional(
      Type.Boolean({ description: 'Present with `written`. `true`: the same request may succeed later.' })
    ),
    pointer: Type.Optional(
      Type.String({
        description:
          'JSON pointer (RFC 6901) to the wrong part of the body; for NDJSON, to the wrong part of the line `line`.'
      })
    )
  },
  { $id: 'Problem', description: 'A problem (RFC 9457). Further members depend on the code.' }
)
