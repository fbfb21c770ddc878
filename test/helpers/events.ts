/** Events in the form that the core takes. */
import { encodeRecord, idBytes } from '../../src/log/format.js'
import type { NewEvent } from '../../src/streams/new-event.js'

export interface Plain {
  type?: string
  /** A UUID that a retry sends again. */
  id?: string
  data?: unknown
  metadata?: unknown
  tags?: string[]
  occurred?: string
}

export function encodeEvent(stream: string, { type = 'T', id, data, metadata, tags, occurred }: Plain = {}): NewEvent {
  const own = id === undefined ? undefined : idBytes(id)
  const record = encodeRecord(stream, {
    id: own,
    clientId: own !== undefined,
    type,
    occurred,
    tags,
    data: data === undefined ? undefined : Buffer.from(JSON.stringify(data)),
    metadata: metadata === undefined ? undefined : Buffer.from(JSON.stringify(metadata))
  })
  return { stream, id: own, type, record }
}
