/**
 * Parses the bodies of appends in the dialect (reference 5.1, 5.2), with the rules and messages of EventStoreDB. JSON
 * is parsed strictly (RFC 8259): a body that cannot be stored exactly as it was sent is rejected.
 */
import type { IncomingMessage } from 'node:http'
import { limits } from '../../../../src/limits.js'
import { encodeRecord, idBytes } from '../../../../src/log/format.js'
import { METADATA_TYPE } from '../../../../src/streams/metadata.js'
import type { NewEvent } from '../../../../src/streams/new-event.js'
import { parseInTurns } from '../../../wire/writing/parsing-turns.js'
import type { Codec } from '../codecs.js'
import { checkRequireLeader, EMPTY_GUID, eventId, eventType, expectedVersion } from '../headers.js'
import { badRequest, Refusal } from '../refusal.js'
import { ATOM_LISTS, EVENT_LISTS, type SentEvent, sentEventSteps } from './sent-events.js'

const NO_ID = "Empty eventId provided. (Parameter 'eventId')"
const NO_TYPE = "Empty eventType provided. (Parameter 'eventType')"

/**
 * Returns the events of an append to a stream; a promise for a large body.
 * @param incoming the event id from the path
 * @throws refusals of the dialect; `ForwardToIncoming` when the body needs an event id and the request has none
 */
export function parseAppend(
  stream: string,
  codec: Codec,
  { headers, rawHeaders }: IncomingMessage,
  body: Buffer,
  incoming?: { id: string }
): NewEvent[] | Promise<NewEvent[]> {
  const isList = EVENT_LISTS.has(codec)
  const type = eventType(rawHeaders)
  if (incoming === undefined && !isList && type === undefined) {
    throw badRequest('Must include an event type with the request either in body or as ES-EventType header.')
  }
  const given = incoming === undefined ? eventId(headers) : incoming.id
  if (incoming === undefined && ATOM_LISTS.has(codec) && given === undefined) throw new ForwardToIncoming()
  checkHeaders(headers)
  return parseInTurns(body.length, eventSteps(stream, body, sentEventSteps(codec, body, type, given)))
}

/** Thrown to redirect the client to a URL that contains an event id, as EventStoreDB does. The caller makes the URL. */
export class ForwardToIncoming extends Error {}

/**
 * Returns the events of a metadata write (reference 11.3). A document needs an event id.
 * @throws refusals of the dialect
 */
export function parseMetadata(
  stream: string,
  codec: Codec,
  request: IncomingMessage,
  body: Buffer
): NewEvent[] | Promise<NewEvent[]> {
  const type = eventType(request.rawHeaders)
  if (type !== undefined && type !== METADATA_TYPE) {
    throw badRequest('Bad Request. You should not include an event type for metadata.')
  }
  const id = eventId(request.headers)
  if (id === undefined && !EVENT_LISTS.has(codec)) throw badRequest(NO_ID)
  checkHeaders(request.headers)
  return parseInTurns(body.length, eventSteps(stream, body, sentEventSteps(codec, body, METADATA_TYPE, id)))
}

/** Encodes the events once the whole body has been parsed. Yields the total of bytes read and encoded so far. */
function* eventSteps(
  stream: string,
  body: Buffer,
  sent: Generator<number, SentEvent[]>
): Generator<number, NewEvent[]> {
  const events: NewEvent[] = []
  let done = body.length
  for (const one of yield* sent) {
    const event = encode(stream, one)
    events.push(event)
    done += event.record.bytes.length
    yield done
  }
  return events
}

/** Validates headers before the body is parsed (reference 5.1). @throws a 400 for an invalid header */
function checkHeaders(headers: IncomingMessage['headers']): void {
  expectedVersion(headers)
  checkRequireLeader(headers)
}

function encode(stream: string, { id, type, data, metadata, contentType, loose, listed }: SentEvent): NewEvent {
  if (id === EMPTY_GUID || (id === undefined && listed)) throw badRequest(NO_ID)
  if (type === undefined || type === '') throw badRequest(NO_TYPE)
  if (Buffer.byteLength(type) > limits.dialect_type_bytes_max) {
    throw badRequest(`The event type is longer than ${limits.dialect_type_bytes_max} bytes.`)
  }
  if (!type.isWellFormed() || /[\u0000-\u001f\u007f-\u009f]/.test(type)) {
    throw badRequest('The event type must be well-formed Unicode without control characters.')
  }
  if ((data?.length ?? 0) + (metadata?.length ?? 0) > limits.event_bytes_max) {
    throw new Refusal(413, 'Too large events received. Limit is 4mb', { bare: true })
  }
  const bytes = id === undefined ? undefined : idBytes(id)
  const record = encodeRecord(stream, {
    id: bytes,
    clientId: id !== undefined,
    type,
    contentType,
    loose,
    data,
    metadata
  })
  return { stream, id: bytes, type, record }
}
