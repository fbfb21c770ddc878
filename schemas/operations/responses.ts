/** What operations answer with: a named document as JSON, or a problem under several statuses. */
import type { TSchema } from 'typebox'
import { Problem } from '../problem-document.js'
import { ref } from '../ref.js'

/** The content of a body that is one document. @param schema one with an `$id` */
export function jsonContent(schema: TSchema) {
  return { 'application/json': { schema: ref(schema) } }
}

/** An answer that is one document. @param schema one with an `$id` */
export function jsonResponse(description: string, schema: TSchema) {
  return { description, content: jsonContent(schema) }
}

/** The same problem document under each of these statuses. */
export function problemResponses(statuses: readonly number[]): Record<number, object> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: 'A problem.', content: { 'application/problem+json': { schema: ref(Problem) } } }
    ])
  )
}
