/** What is wrong with a query, as a problem. */
import type { ErrorObject } from 'ajv/dist/2020.js'
import { DaybookError } from '../../../src/errors.js'
import { explainFault } from './shape-faults.js'

/** @param errors of the check that compileQuery gave, at least one @param where the parameters stand, as Fastify calls it */
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
