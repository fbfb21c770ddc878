/** Parses JSON bodies. */
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'

/** Returns the JSON value that the bytes contain, without surrounding white space. @throws `malformed-json` */
export function wholeValue(bytes: Buffer): Buffer {
  const reader = new JsonReader(bytes)
  const value = reader.slice()
  reader.end()
  return value
}

/** Parses a body that must be a JSON object. @throws `malformed-json`, `invalid-body` */
export function parseJsonObject(body: Buffer): object {
  const reader = new JsonReader(body)
  const value = reader.value()
  reader.end()
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw invalidBody('The body must be a JSON object.', { pointer: '' })
}

/** Returns an error for valid JSON that its address does not accept. @param where JSON pointer to the wrong member */
export function invalidBody(why: string, where: { pointer?: string } = {}): DaybookError {
  return new DaybookError('invalid-body', why, where)
}
