/** The Idempotency-Key of an append, and the event ids that are made from it (native contract §3). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { idBytes } from '../../../src/log/format.js'
import { nameBasedId } from '../../../src/streams/name-based-id.js'

/** Makes the ids of events without one, so that a retry makes the same ids again. */
export type IdSource = (stream: string, index: number) => Buffer

/** The value of the header. @throws `bad-header` when it is empty or too long */
export function idempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && key.length >= 1 && key.length <= limits.idempotency_key_chars_max) return key
  throw new DaybookError('bad-header', `Idempotency-Key has 1 to ${limits.idempotency_key_chars_max} characters.`, {
    limit: limits.idempotency_key_chars_max
  })
}

/** Ids made from an Idempotency-Key: UUID version 5 of (stream, key, index), the same at every retry. */
export function keyedIds(key: string): IdSource {
  return (stream, index) => nameBasedId(KEY_NAMESPACE, `${stream}\n${key}\n${index}`)
}

/** UUID namespace of ids made from keys. It must never change, or retries across versions would be written twice. */
const KEY_NAMESPACE = idBytes('1d0c7a52-5b0e-4d1f-9c9b-6f6b3d0f2a77')
