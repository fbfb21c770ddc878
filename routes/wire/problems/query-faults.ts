/** Converts the validation errors of a query to a DaybookError. */
import type { ErrorObject } from 'ajv/dist/2020.js'
import { DaybookError } from '../../../src/errors.js'
import { explainFault } from './shape-faults.js'

/**
 * Returns an `unknown-parameter` or `bad-parameter` error for the first validation error of a query.
 * @param errors errors of the check from compileQuery, at least one
 * @param where the part of the request that was validated, as Fastify names it (`querystring`, `params`)
 */
export function refusedQuery(errors: readonly ErrorObject[], where: string | undefined): DaybookError {
  const first = errors[0] as ErrorObject
  const known = Object.keys((first as { parentSchema?: { properties?: object } }).parentSchema?.properties ?? {})
  const unknown = first.keyword === 'additionalProperties'
  const { why: detail } = explainFault(errors, { known, isQuery: true })
  return new DaybookError(unknown ? 'unknown-parameter' : 'bad-parameter', detail, {
    parameter: unknown ? first.params.additionalProperty : first.instancePath.slice(1).split('/')[0],
    in: where
  })
}
