/** Refers to a schema by its name, so that openapi.yaml and generated clients have one type for it. */
import { type TRef, type TSchema, Type } from 'typebox'

/** @param schema one with an `$id`, which stands in the list of routes/wire/openapi.ts */
export function ref(schema: TSchema): TRef {
  return Type.Ref(`${(schema as { $id?: string }).$id}#`)
}
