/** Responses of operations: a named JSON document, or a problem document under several statuses. */
import type { TSchema } from 'typebox'
import { Problem } from '../problem-document.js'
import { ref } from '../ref.js'

/** Returns the content of a body that is one JSON document. @param schema a schema with an `$id` */
export function jsonContent(schema: TSchema) {
  return { 'application/json': { schema: ref(schema) } }
}

/** Returns a response that is one JSON document. @param schema a schema with an `$id` */
export function jsonResponse(description: string, schema: TSchema) {
  return { description, content: jsonContent(schema) }
}

/** Returns a response with the problem document for each of these statuses. */
export function problemResponses(statuses: readonly number[]): Record<number, object> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: 'A problem.', content: { 'application/problem+json': { schema: ref(Problem) } } }
    ])
  )
}
