/**
 * Appends in the dialect (reference 5.1, 5.2): bodies to events, read as EventStoreDB reads them, with its messages. JSON
 * is read strictly (RFC 8259): a body that could not be stored as it was sent is refused.
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
 * The events of an append to a stream; of a large body by a promise.
 * @param incoming the id that its URL gives
 * @throws refusals of the dialect: 307 when a body without an id needs a URL that has one
 */
export function parseAppend(
  stream: string,
  codec: Codec,
  { headers, rawHeaders }: IncomingMessage,
  body: Buffer,
  incoming?: { id: string }
): NewEvent[] | Promise<NewEvent[]> {
  const carriesBoth = EVENT_LISTS.has(codec)
  const type = eventType(rawHeaders)
  if (incoming === undefined && !carriesBoth && type === undefined) {
    throw badRequest('Must include an event type with the request either in body or as ES-EventType header.')
  }
  const given = incoming === undefined ? eventId(headers) : incoming.id
  if (incoming === undefined && ATOM_LISTS.has(codec) && given === undefined) throw new ForwardToIncoming()
  checkHeaders(headers)
  return parseInTurns(body.length, eventSteps(stream, body, sentEventSteps(codec, body, type, given)))
}

/** EventStoreDB redirects the client to a URL that has an id; the caller knows that URL. */
export class ForwardToIncoming extends Error {}

/**
 * The events of a write of metadata (reference 11.3). A document without an id is refused.
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

/** Events as they are stored, once all of the body has been read. Yields the bytes that were read and made. */
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

/** Before the body is looked at (reference 5.1). @throws a 400 for one that cannot be read */
function checkHeaders(headers: IncomingMessage['headers']): void {
  expectedVersion(headers)
  checkRequireLeader(headers)
}

function encode(stream: string, { id, type, data, metadata, contentType, loose, listed }: SentEvent): NewEvent {
  if (id === EMPTY_GUID || (id === undefined && listed)) throw badRequest(NO_ID)
  if (type === undefined || type === '') throw badRequest(NO_TYPE)
  if (Buffer.byteLength(type) > limits.dialect_type_bytes_max) {
    throw badRequest(`An event type has at most ${limits.dialect_type_bytes_max} bytes.`)
  }
  if (!type.isWellFormed() || /[\u0000-\u001f\u007f-\u009f]/.test(type)) {
    throw badRequest('An event type is well-formed Unicode without control characters.')
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
