/** One event that is to be appended: the server's own, or what a client sent, encoded for the log. */
import { encodeRecord, type UnplacedRecord } from '../log/format.js'

/** One event to append, encoded. */
export interface NewEvent {
  readonly stream: string
  /** 16 bytes, when a retry of it must be recognised: the client gave it, or the key it was made from. */
  readonly id: Buffer | undefined
  readonly type: string
  readonly record: UnplacedRecord
}

/**
 * An event that the server writes by itself, to its own streams or for a client that sent something else. The log makes
 * its id.
 * @param content its data: bytes, or what becomes JSON
 * @param contentType of data that is not JSON
 */
export function serverEvent(stream: string, type: string, content: Buffer | object, contentType?: string): NewEvent {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
  return { stream, id: undefined, type, record: encodeRecord(stream, { clientId: false, type, data, contentType }) }
}
