import { encodeRecord } from '../log/format.js'
import type { NewEvent } from './planning-view.js'

/**
 * An event that the server writes by itself, to its own streams or for a client who sent something else. The log makes
 * its id.
 * @param content its data: bytes, or what becomes JSON
 * @param contentType of data that is not JSON
 */
export function serverEvent(stream: string, type: string, content: Buffer | object, contentType?: string): NewEvent {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
  return { stream, id: undefined, type, record: encodeRecord(stream, { clientId: false, type, data, contentType }) }
}
