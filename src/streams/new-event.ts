/** Events to append, from a client or from the server itself, encoded for the log. */
import { encodeRecord, type UnplacedRecord } from '../log/format.js'

export interface NewEvent {
  readonly stream: string
  /**
   * 16 bytes, from the client or derived from its Idempotency-Key, by which a retry is recognised. Undefined: the log
   * generates the id.
   */
  readonly id: Buffer | undefined
  readonly type: string
  readonly record: UnplacedRecord
}

/**
 * Returns an event that the server itself writes, to its own streams or on behalf of a client. The log generates its
 * id.
 * @param content the data: bytes, or an object that is encoded as JSON
 * @param contentType of data that is not JSON
 */
export function serverEvent(stream: string, type: string, content: Buffer | object, contentType?: string): NewEvent {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
  return { stream, id: undefined, type, record: encodeRecord(stream, { clientId: false, type, data, contentType }) }
}
