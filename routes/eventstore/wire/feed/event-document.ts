/** Renders single events as JSON (reference 8.4, 8.7), in strings of one character per byte. */
import type { ShownEvent } from './shown-event.js'

/** Returns the event document, used as `content` of an entry and as `event+json`. */
export function documentBytes(event: ShownEvent): string {
  const { streamBytes, number, typeBytes, id } = event
  const data = event.isJson ? valueBytes(event.dataBytes) : JSON.stringify(event.dataBytes)
  const metadata = valueBytes(event.metadataBytes)
  return `{"eventStreamId":${JSON.stringify(streamBytes)},"eventNumber":${number},"eventType":${JSON.stringify(typeBytes)},"eventId":"${id}","data":${data},"metadata":${metadata}}`
}

/** Returns the event's data as a JSON document. */
export function dataDocument(event: ShownEvent): string {
  return event.isJson ? valueBytes(event.dataBytes) : JSON.stringify(event.dataBytes)
}

/** Returns JSON unchanged, and other text as a JSON string. */
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
