/** Parses the body of an append to one stream, according to its content type and headers (native contract §3). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import type { AppendAll } from '../../../src/writing/plan/write-request.js'
import { isNdjson, mediaType } from '../media-types.js'
import { checkTextBody, isBareType, lineOf, parseBareEvent, parseJsonEvents, parseNdjsonEvents } from './event-body.js'
import type { ParseOptions } from './event-draft.js'
import { idempotencyKey, keyedIds } from './idempotency-key.js'

/** Returns the place of an event in the body, for errors. @param index index of the event */
export type EventPlaces = (index: number) => { readonly pointer?: string; readonly line?: number }

export const ACCEPT_POST =
  'application/json, application/x-ndjson, application/vnd.eventstore.events+json, application/*+json, text/*, application/xml, application/octet-stream'

/**
 * Parses the events of a body.
 * @throws `unsupported-media-type`, `missing-event-type`, `bad-header`, and the errors of the parser of its media type
 */
export async function parseStreamBody(
  stream: string,
  headers: IncomingHttpHeaders,
  body: Buffer
): Promise<{ events: NewEvent[]; keyed: AppendAll['keyed']; placeOf: EventPlaces }> {
  const key = idempotencyKey(headers)
  const ids = key === undefined ? undefined : keyedIds(key)
  const parsed = parseByType(headers, body, { stream, ids })
  // Avoids the cost of a promise for small bodies.
  const events = parsed instanceof Promise ? await parsed : parsed
  const placeOf: EventPlaces = (index) => placeInBody(headers, body, index)
  return { events, keyed: ids && { stream, nextId: ids(stream, events.length) }, placeOf }
}

/** Finds the place of an event again. Only needed when the writer refuses an event after its body was parsed. */
function placeInBody(headers: IncomingHttpHeaders, body: Buffer, index: number): { pointer?: string; line?: number } {
  if (single(headers, 'event-type') !== undefined) return {}
  if (isNdjson(mediaType(headers['content-type']))) return { line: lineOf(body, index), pointer: '' }
  return { pointer: new JsonReader(body).atArray ? `/${index}` : '' }
}

/**
 * Checks the headers of a body.
 * @returns its media type; and the event type, if the body is the bare data of one event
 * @throws `unsupported-media-type`, `missing-event-type`
 */
export function checkBodyType(headers: IncomingHttpHeaders): { contentType: string; type: string | undefined } {
  const contentType = mediaType(headers['content-type'])
  const type = single(headers, 'event-type')
  if (contentType === 'application/x-www-form-urlencoded') {
    throw new DaybookError(
      'unsupported-media-type',
      'The content type of the body is that of an HTML form. curl -d sends it by default: use --json, or add -H "Content-Type: application/json".',
      { available: ACCEPT_POST.split(', ') }
    )
  }
  if (type === undefined && (contentType === 'application/json' || isNdjson(contentType))) return { contentType, type }
  if ((contentType !== 'application/json' && !isBareType(contentType)) || isNdjson(contentType)) {
    throw new DaybookError(
      'unsupported-media-type',
      `This address does not accept a body of type "${contentType.slice(0, 100)}".`,
      {
        available: ACCEPT_POST.split(', ')
      }
    )
  }
  if (type === undefined) {
    throw new DaybookError(
      contentType.startsWith('text/') ? 'unsupported-media-type' : 'missing-event-type',
      `A body of type ${contentType} becomes the data of one event. Send the event's type in the header Event-Type.`,
      { available: ACCEPT_POST.split(', ') }
    )
  }
  return { contentType, type }
}

function parseByType(
  headers: IncomingHttpHeaders,
  body: Buffer,
  options: ParseOptions & { stream: string }
): NewEvent[] | Promise<NewEvent[]> {
  const { contentType, type } = checkBodyType(headers)
  if (type === undefined) {
    return isNdjson(contentType) ? parseNdjsonEvents(body, options) : parseJsonEvents(body, options)
  }
  const isJson = contentType === 'application/json'
  if (!isJson) checkTextBody(body, contentType)
  return [
    parseBareEvent(
      body,
      {
        type: decodeHeader(type),
        id: single(headers, 'event-id'),
        metadata: metadataOf(headers),
        contentType: isJson ? undefined : contentType
      },
      options
    )
  ]
}

function metadataOf(headers: IncomingHttpHeaders): Buffer | undefined {
  const text = single(headers, 'event-metadata')
  return text === undefined ? undefined : Buffer.from(text, 'latin1')
}

/** Decodes UTF-8 in a header. Node decodes headers as latin1. */
function decodeHeader(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8')
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
