/** One event by itself as JSON (reference 8.4, 8.7), each character a byte. */
import type { ShownEvent } from './shown-event.js'

/** The event document: `content` of an entry, and `event+json`. */
export function documentBytes(event: ShownEvent): string {
  const { streamBytes, number, typeBytes, id } = event
  const data = event.isJson ? valueBytes(event.dataBytes) : JSON.stringify(event.dataBytes)
  const metadata = valueBytes(event.metadataBytes)
  return `{"eventStreamId":${JSON.stringify(streamBytes)},"eventNumber":${number},"eventType":${JSON.stringify(typeBytes)},"eventId":"${id}","data":${data},"metadata":${metadata}}`
}

/** The event's data as a JSON document. */
export function dataDocument(event: ShownEvent): string {
  return event.isJson ? valueBytes(event.dataBytes) : JSON.stringify(event.dataBytes)
}

/** JSON as it stands; text that is none as a string. */
export function valueBytes(bytes: string): string {
  return isJsonText(bytes) ? bytes : JSON.stringify(bytes)
}

function isJsonText(bytes: string): boolean {
  try {
    JSON.parse(bytes)
    return true
  } catch {
    return false
  }
}
