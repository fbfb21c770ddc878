/**
 * Builds JSON schemas as plain objects. The static types are TypeBox's; its own builder would cost each start of Daybook
 * 90 ms of processor time and 19 MB, for functions that are not called.
 */
import type { TRef, TSchema, Type as TypeBox } from 'typebox'

type Options = Readonly<Record<string, unknown>>

/** Schemas of members that an object may lack. */
const optional = new WeakSet<object>()

const build = {
  Array: (items: object, options?: Options) => ({ type: 'array', items, ...options }),
  Boolean: (options?: Options) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly unknown[], options?: Options) => ({ enum: values, ...options }),
  Integer: (options?: Options) => ({ type: 'integer', ...options }),
  Literal: (value: unknown, options?: Options) => ({ type: typeof value, const: value, ...options }),
  Null: (options?: Options) => ({ type: 'null', ...options }),
  Number: (options?: Options) => ({ type: 'number', ...options }),
  Object: (properties: Record<string, object>, options?: Options) => {
    const required = Object.keys(properties).filter((name) => !optional.has(properties[name] as object))
    return { type: 'object', ...(required.length > 0 && { required }), properties, ...options }
  },
  Optional: (schema: object) => {
    const copy = { ...schema }
    optional.add(copy)
    return copy
  },
  Record: (_names: object, values: object, options?: Options) => ({
    type: 'object',
    patternProperties: { '^.*$': values },
    ...options
  }),
  Ref: (name: string, options?: Options) => ({ $ref: name, ...options }),
  String: (options?: Options) => ({ type: 'string', ...options }),
  Union: (schemas: readonly object[], options?: Options) => ({ anyOf: schemas, ...options }),
  Unknown: (options?: Options) => ({ ...options }),
  Unsafe: (schema: object) => schema
}

/** Functions that return JSON schemas, each with the type of what it describes (`Static`). */
export const Type = build as unknown as Pick<typeof TypeBox, keyof typeof build>

/**
 * Returns a reference to a named schema, so that openapi.yaml and generated clients have one type for it.
 * @param schema one with an `$id`, which stands in the list of routes/wire/openapi.ts
 */
export function ref(schema: TSchema): TRef {
  return Type.Ref(`${(schema as { $id?: string }).$id}#`)
}
