/** Checks values against the schemas of openapi.yaml. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { TSchema } from 'typebox'
import type { DaybookError } from '../../../src/errors.js'
import { explainFault } from './shape-faults.js'

/** Our schemas are not validated themselves: at every start that would take longer than opening a log. */
const OURS = { strict: false, validateSchema: false, removeAdditional: false } as const

/** For values that we parse ourselves: nothing is coerced, nothing is dropped. */
const ajv = new Ajv2020({ ...OURS, coerceTypes: false, verbose: true })
addFormats.default(ajv)
// The format of ajv-formats also takes urn:uuid:….
ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)

/** For queries and paths: text becomes numbers and lists, nothing is dropped. */
const queryAjv = new Ajv2020({ ...OURS, coerceTypes: 'array', verbose: true })

/** A check as Fastify calls it: what was wrong stands in `errors` afterwards. */
export interface QueryCheck {
  (value: unknown): boolean
  errors?: ErrorObject[] | null
}

/** Compiles a query's schema at the first query: most routes are used seldom, and compiled code takes memory. */
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

/** Makes the error of a value that does not fit. @param where the member that is wrong, as a JSON pointer */
export type Refuse = (why: string, where: { pointer: string }) => DaybookError

export type Shape<T> = (value: unknown, refuse: Refuse) => T

/**
 * A schema as a check that returns the value, or throws what `refuse` makes of the reason. Compiled when first used.
 * @param name of the member that the value is; it stands in messages, and begins the pointers
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
