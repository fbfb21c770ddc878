/** The body of an append to one stream, by its content type and headers (native contract §3). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import type { AppendAll } from '../../../src/writing/plan/write-request.js'
import { isNdjson, mediaType } from '../media-types.js'
import { checkTextBody, isBareType, lineOf, parseBareEvent, parseJsonEvents, parseNdjsonEvents } from './event-body.js'
import type { ParseOptions } from './event-draft.js'
import { idempotencyKey, keyedIds } from './idempotency-key.js'

/** Says where an event of a body stands there. @param index of the event */
export type EventPlaces = (index: number) => { readonly pointer?: string; readonly line?: number }

export const ACCEPT_POST =
  'application/json, application/x-ndjson, application/vnd.eventstore.events+json, application/*+json, text/*, application/xml, application/octet-stream'

/** @throws `unsupported-media-type`, `missing-event-type`, `bad-header`, and what the readers of bodies throw */
export async function parseStreamBody(
  stream: string,
  headers: IncomingHttpHeaders,
  body: Buffer
): Promise<{ events: NewEvent[]; keyed: AppendAll['keyed']; placeOf: EventPlaces }> {
  const key = idempotencyKey(headers)
  const ids = key === undefined ? undefined : keyedIds(key)
  const parsed = parseByType(headers, body, { stream, ids })
  // Small bodies pay for no promise.
  const events = parsed instanceof Promise ? await parsed : parsed
  const placeOf: EventPlaces = (index) => placeInBody(headers, body, index)
  return { events, keyed: ids && { stream, nextId: ids(stream, events.length) }, placeOf }
}

/** Looked for when an event is refused only after the body was read. */
function placeInBody(headers: IncomingHttpHeaders, body: Buffer, index: number): { pointer?: string; line?: number } {
  if (single(headers, 'event-type') !== undefined) return {}
  if (isNdjson(mediaType(headers['content-type']))) return { line: lineOf(body, index), pointer: '' }
  return { pointer: new JsonReader(body).atArray ? `/${index}` : '' }
}

/**
 * Refuses a body by its headers.
 * @returns its media type, and the type of the event whose bare data it is
 * @throws `unsupported-media-type`, `missing-event-type`, `bad-header`
 */
export function checkBodyType(headers: IncomingHttpHeaders): { contentType: string; type: string | undefined } {
  const contentType = mediaType(headers['content-type'])
  const type = single(headers, 'event-type')
  if (contentType === 'application/x-www-form-urlencoded') {
    throw new DaybookError(
      'unsupported-media-type',
      'This is a form. With curl, -d alone sends one: use --json, or -H "Content-Type: application/json".',
      { available: ACCEPT_POST.split(', ') }
    )
  }
  if (type === undefined && (contentType === 'application/json' || isNdjson(contentType))) return { contentType, type }
  if ((contentType !== 'application/json' && !isBareType(contentType)) || isNdjson(contentType)) {
    throw new DaybookError(
      'unsupported-media-type',
      `A body of type "${contentType.slice(0, 100)}" is not taken here.`,
      {
        available: ACCEPT_POST.split(', ')
      }
    )
  }
  if (type === undefined) {
    throw new DaybookError(
      contentType.startsWith('text/') ? 'unsupported-media-type' : 'missing-event-type',
      `A body of type ${contentType} is bare data: say its type in an Event-Type header.`,
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

/** Headers arrive as latin1; UTF-8 sent in them is read as what it is. */
function decodeHeader(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8')
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : undefined
}
