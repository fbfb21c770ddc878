import { randomUUID } from 'node:crypto'
import { encodeRecord, idBytes } from '../log/format.js'
import type { NewEvent } from './planning-view.js'

/**
 * An event that the server writes by itself, to its own streams or for somebody who sent something else.
 * @param content its data: bytes, or what becomes JSON
 * @param options `id`: 16 bytes of a UUID, a random one unless given; `contentType`: of data that is not JSON
 */
export function serverEvent(
  stream: string,
  type: string,
  content: Buffer | object,
  { id = idBytes(randomUUID()), contentType }: { id?: Buffer | undefined; contentType?: string } = {}
): NewEvent {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content))
  return { stream, id: undefined, type, record: encodeRecord(stream, { id, clientId: false, type, data, contentType }) }
}
