/** JSON bodies as values. */
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'

/** The one JSON value that bytes are, without the white space around it. @throws `malformed-json` */
export function wholeValue(bytes: Buffer): Buffer {
  const reader = new JsonReader(bytes)
  const value = reader.slice()
  reader.end()
  return value
}

/** The one JSON object that a body is. @throws `malformed-json`, `invalid-body` */
export function parseJsonObject(body: Buffer): object {
  const reader = new JsonReader(body)
  const value = reader.value()
  reader.end()
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  throw invalidBody('The body is a JSON object.', { pointer: '' })
}

/** A body that is JSON, but not what its address takes. @param where the member that is wrong */
export function invalidBody(why: string, where: { pointer?: string } = {}): DaybookError {
  return new DaybookError('invalid-body', why, where)
}
