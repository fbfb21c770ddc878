/** The Idempotency-Key of an append, and the event ids that are derived from it (native contract §3). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../../src/errors.js'
import { limits } from '../../../src/limits.js'
import { idBytes } from '../../../src/log/format.js'
import { nameBasedId } from '../../../src/streams/name-based-id.js'

/** Generates the ids of events without an id. A retry gets the same ids again. */
export type IdSource = (stream: string, index: number) => Buffer

/** Returns the value of the header; undefined without one. @throws `bad-header` if it is empty or too long */
export function idempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && key.length >= 1 && key.length <= limits.idempotency_key_chars_max) return key
  throw new DaybookError(
    'bad-header',
    `Idempotency-Key must have 1 to ${limits.idempotency_key_chars_max} characters.`,
    {
      limit: limits.idempotency_key_chars_max
    }
  )
}

/** Returns a generator of ids from an Idempotency-Key: UUID version 5 of (stream, key, index), equal at every retry. */
export function keyedIds(key: string): IdSource {
  return (stream, index) => nameBasedId(KEY_NAMESPACE, `${stream}\n${key}\n${index}`)
}

/** UUID namespace of the derived ids. It must never change: a retry after an upgrade would be written twice. */
const KEY_NAMESPACE = idBytes('1d0c7a52-5b0e-4d1f-9c9b-6f6b3d0f2a77')
