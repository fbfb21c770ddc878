/** Validates values against the schemas of openapi.yaml. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { TSchema } from 'typebox'
import type { DaybookError } from '../../../src/errors.js'
import { explainFault } from './shape-faults.js'

/** Schemas are not checked against the meta-schema: at each start that would take longer than opening a log. */
const AJV_OPTIONS = { strict: false, validateSchema: false, removeAdditional: false } as const

/** For values that the server parses itself: no type coercion, no removed members. */
const ajv = new Ajv2020({ ...AJV_OPTIONS, coerceTypes: false, verbose: true })
addFormats.default(ajv)
// The `uuid` format of ajv-formats also accepts urn:uuid:….
ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)

/** For queries and paths: text is coerced to numbers and lists; no members are removed. */
const queryAjv = new Ajv2020({ ...AJV_OPTIONS, coerceTypes: 'array', verbose: true })

/** A validator with the interface that Fastify expects: after a call, `errors` has the errors of that call. */
export interface QueryCheck {
  (value: unknown): boolean
  errors?: ErrorObject[] | null
}

/** Returns a validator that compiles its schema on first use: most routes are rare, and compiled code takes memory. */
export function compileQuery(schema: object): QueryCheck {
  let validate: QueryCheck | undefined
  const check: QueryCheck = (value) => {
    validate ??= queryAjv.compile(schema)
    const fits = validate(value)
    check.errors = validate.errors ?? null
    return fits
  }
  return check
}

/** Creates the error for an invalid value. @param where JSON pointer to the invalid member */
export type Refuse = (why: string, where: { pointer: string }) => DaybookError

export type Shape<T> = (value: unknown, refuse: Refuse) => T

/**
 * Returns a function that validates a value: it returns the value, or throws the error that `refuse` creates. It
 * compiles the schema on first use.
 * @param name name of the member whose value is checked; messages and pointers begin with it
 */
export function compileShape<T>(schema: TSchema, name = ''): Shape<T> {
  let validate: ValidateFunction | undefined
  const known = Object.keys((schema as { properties?: object }).properties ?? {})
  return (value, refuse) => {
    validate ??= ajv.compile(schema)
    if (validate(value)) return value as T
    const { why, pointer } = explainFault(validate.errors ?? [], { known, name })
    throw refuse(why, { pointer })
  }
}
