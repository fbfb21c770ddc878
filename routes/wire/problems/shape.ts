/** Checks values against the schemas of openapi.yaml, and explains what is wrong with them. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { TSchema } from 'typebox'
import type { DaybookError } from '../../../src/errors.js'
import { nearest } from '../../../src/spelling.js'

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

export type Shape<T> = (value: unknown, refuse: (why: string, where: { pointer?: string }) => DaybookError) => T

/**
 * A schema as a check that returns the value, or throws what `refuse` makes of the reason. Compiled when first used.
 * @param name what the value is called in messages
 */
export function compileShape<T>(schema: TSchema, name = ''): Shape<T> {
  let validate: ValidateFunction | undefined
  const known = Object.keys((schema as { properties?: object }).properties ?? {})
  return (value, refuse) => {
    validate ??= ajv.compile(schema)
    if (validate(value)) return value as T
    const [first] = validate.errors as ErrorObject[]
    throw refuse(explain(first as ErrorObject, known, name), { pointer: first?.instancePath ?? '' })
  }
}

/** One sentence that says what is wrong and what is allowed. */
export function explain(error: ErrorObject, known: readonly string[], of = ''): string {
  const { keyword, params, instancePath } = error
  const name = (of + instancePath.replaceAll('/', '.')).replace(/^\./, '')
  if (keyword === 'additionalProperties') {
    const here = (error.parentSchema as { properties?: object } | undefined)?.properties
    return unknownName(String(params.additionalProperty), here === undefined ? known : Object.keys(here))
  }
  if (keyword === 'required') return `"${name === '' ? '' : `${name}.`}${params.missingProperty}" is missing.`
  if (keyword === 'enum') return `"${name}" is one of ${(params.allowedValues as unknown[]).join(', ')}.`
  const { examples } = (error.parentSchema ?? {}) as { examples?: string[] }
  if (keyword === 'pattern' && examples !== undefined) return `"${name}" looks like "${examples.join('" or "')}".`
  if (keyword === 'minLength' && params.limit === 1) {
    return `"${name.replace(/\.\d+$/, '')}" is empty: give it a value, or leave it out.`
  }
  return `${name === '' ? 'The value' : `"${name}"`} ${error.message ?? 'is wrong'}.`
}

/** Says that there is no such name, and which one may have been meant. */
export function unknownName(name: string, known: readonly string[]): string {
  if (known.length === 0) return `There is no "${name.slice(0, 100)}" here; nothing is known.`
  return `There is no "${name.slice(0, 100)}"; did you mean "${nearest(name, known)}"? Known: ${known.join(', ')}.`
}
