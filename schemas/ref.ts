/** References to named schemas: openapi.yaml and generated clients have one type for each. */
import { type TRef, type TSchema, Type } from 'typebox'

/** Returns a reference to a schema. @param schema a schema with an `$id` that the list in routes/wire/openapi.ts has */
export function ref(schema: TSchema): TRef {
  return Type.Ref(`${(schema as { $id?: string }).$id}#`)
}
