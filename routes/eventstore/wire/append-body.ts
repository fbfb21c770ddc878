/**
 * Appends in the dialect (reference 5.1, 5.2): bodies to events, as the original understands them, with its messages.
 * JSON is read strictly (RFC 8259): what would be stored as something else than was sent is refused.
 */
import type { IncomingMessage } from 'node:http'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { limits } from '../../../src/limits.js'
import { encodeRecord, idBytes } from '../../../src/log/format.js'
import { METADATA_TYPE } from '../../../src/streams/metadata.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { checkTextBody } from '../../wire/writing/event-body.js'
import { type Codec, codecs } from './codecs.js'
import { checkRequireLeader, EMPTY_GUID, eventId, eventType, expectedVersion, parseGuid } from './headers.js'
import { badRequest, Refusal } from './refusal.js'
import { parseXmlEvents, type XmlValue } from './xml-events.js'

const INVALID_BODY = 'Write request body invalid.'
const NO_ID = "Empty eventId provided. (Parameter 'eventId')"
const NO_TYPE = "Empty eventType provided. (Parameter 'eventType')"

/** Bodies that are lists of events with ids and types of their own. */
const LISTS = new Set<Codec>([
  codecs.eventJson,
  codecs.eventsJson,
  codecs.eventXml,
  codecs.eventsXml,
  codecs.description
])
/** Lists too, but taken for single events when headers are asked for. */
const ATOM_LISTS = new Set<Codec>([codecs.atom, codecs.atomJson])

/** An event's members as a body gives them. */
interface Draft {
  id: string | undefined
  type: string | undefined
  data: Buffer | undefined
  metadata: Buffer | undefined
  contentType?: string | undefined
  /** Of a list, where only objects and arrays count as JSON, and the data is neither. */
  loose: boolean
  /** Of a list, where every event has its id. */
  listed: boolean
}

/**
 * The events of an append to a stream.
 * @param incoming the id that its URL gives
 * @throws refusals of the dialect: 307 when a body without an id needs a URL that has one
 */
export function parseAppend(
  stream: string,
  codec: Codec,
  { headers, rawHeaders }: IncomingMessage,
  body: Buffer,
  incoming?: { id: string }
): NewEvent[] {
  const carriesBoth = LISTS.has(codec)
  const type = eventType(rawHeaders)
  if (incoming === undefined && !carriesBoth && type === undefined) {
    throw badRequest('Must include an event type with the request either in body or as ES-EventType header.')
  }
  const given = incoming === undefined ? eventId(headers) : incoming.id
  if (incoming === undefined && ATOM_LISTS.has(codec) && given === undefined) throw new ForwardToIncoming()
  checkHeaders(headers)
  return parseDrafts(codec, body, type, given).map((draft) => encode(stream, draft))
}

/** The original sends the client on to a URL that has an id; the caller knows that URL. */
export class ForwardToIncoming extends Error {}

/**
 * The events of a write of metadata (reference 11.3). A document without an id is refused.
 * @throws refusals of the dialect
 */
export function parseMetadata(stream: string, codec: Codec, request: IncomingMessage, body: Buffer): NewEvent[] {
  const type = eventType(request.rawHeaders)
  if (type !== undefined && type !== METADATA_TYPE) {
    throw badRequest('Bad Request. You should not include an event type for metadata.')
  }
  const id = eventId(request.headers)
  if (id === undefined && !LISTS.has(codec)) throw badRequest(NO_ID)
  checkHeaders(request.headers)
  return parseDrafts(codec, body, METADATA_TYPE, id).map((draft) => encode(stream, draft))
}

/** Before the body is looked at (reference 5.1). @throws a 400 for one that cannot be read */
function checkHeaders(headers: IncomingMessage['headers']): void {
  expectedVersion(headers)
  checkRequireLeader(headers)
}

function parseDrafts(codec: Codec, body: Buffer, type: string | undefined, id: string | undefined): Draft[] {
  if (codec === codecs.description) throw badRequest(INVALID_BODY)
  if (LISTS.has(codec) || ATOM_LISTS.has(codec)) {
    const drafts = codec.xml ? parseXmlList(body) : parseJsonList(body)
    if (drafts.length === 0) throw badRequest(INVALID_BODY)
    return drafts
  }
  const bare = { id, type, metadata: undefined, loose: false, listed: false }
  if (codec === codecs.json) return [{ ...bare, data: wholeDocument(body) }]
  checkTextBody(body, codec.type)
  return [{ ...bare, data: body, contentType: codec.type }]
}

/** @throws a 400 for a body that says it is JSON and is not; an empty one is an event without data */
function wholeDocument(body: Buffer): Buffer | undefined {
  if (body.length === 0) return undefined
  try {
    const reader = new JsonReader(body)
    const value = reader.slice()
    reader.end()
    return value
  } catch (error) {
    throw badRequest((error as Error).message)
  }
}

function parseJsonList(body: Buffer): Draft[] {
  const drafts: Draft[] = []
  try {
    const reader = new JsonReader(body)
    if (!reader.atArray) throw badRequest(INVALID_BODY)
    reader.elements((index) => {
      if (index >= limits.batch_events_max) throw tooMany()
      if (!reader.atObject) throw badRequest(reader.value() === null ? NULL_EVENT : INVALID_BODY)
      drafts.push(parseJsonEvent(reader))
    })
    reader.end()
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw badRequest(INVALID_BODY)
  }
  return drafts
}

const NULL_EVENT = 'An event is an object, not null.'

function tooMany(): Refusal {
  return new Refusal(413, 'Too large events received. Limit is 4mb', {
    body: `A batch has at most ${limits.batch_events_max} events.`
  })
}

/** Member names in any case; of repeated ones the last counts, unknown ones do not. */
function parseJsonEvent(reader: JsonReader): Draft {
  const draft: Draft = {
    id: undefined,
    type: undefined,
    data: undefined,
    metadata: undefined,
    loose: true,
    listed: true
  }
  reader.members(
    (name) => {
      switch (name.toLowerCase()) {
        case 'eventid':
          draft.id = guidOf(reader.value())
          break
        case 'eventtype':
          draft.type = typeOf(reader.value())
          break
        case 'data':
          draft.data = unwrapped(reader.slice())
          break
        case 'metadata':
          draft.metadata = unwrapped(reader.slice())
          break
        default:
          reader.slice()
      }
    },
    { repeats: true }
  )
  draft.loose = draft.data === undefined || !holdsMembers(draft.data)
  return draft
}

function guidOf(value: unknown): string | undefined {
  if (value === null || value === undefined) return undefined
  const id = typeof value === 'string' ? parseGuid(value) : undefined
  if (id === undefined) throw badRequest(INVALID_BODY)
  return id
}

function typeOf(value: unknown): string | undefined {
  if (typeof value === 'object' && value !== null) throw badRequest(INVALID_BODY)
  return value === null ? undefined : String(value)
}

/** A string that holds a JSON object or array stands for that; everything else is kept as it is. */
function unwrapped(json: Buffer): Buffer | undefined {
  if (json[0] !== QUOTE) return json.toString('latin1') === 'null' ? undefined : json
  const text = (JSON.parse(json.toString()) as string).trim()
  if (!/^[{[]/.test(text)) return json
  try {
    const inner = Buffer.from(text)
    const reader = new JsonReader(inner)
    const value = reader.slice()
    reader.end()
    return value
  } catch {
    return json
  }
}

const QUOTE = 0x22

function holdsMembers(json: Buffer): boolean {
  return json[0] === 0x7b || json[0] === 0x5b
}

function parseXmlList(body: Buffer): Draft[] {
  let events: Record<string, XmlValue>[]
  try {
    events = parseXmlEvents(body)
  } catch (error) {
    if (error instanceof DaybookError) throw badRequest(INVALID_BODY)
    throw error
  }
  if (events.length > limits.batch_events_max) throw tooMany()
  return events.map((event) => {
    const members = new Map(Object.entries(event).map(([name, value]) => [name.toLowerCase(), value]))
    const data = xmlDocument(members.get('data'))
    const id = members.get('eventid')
    const type = members.get('eventtype')
    return {
      id: id === undefined || id === '' ? undefined : guidOf(id),
      type: typeof type === 'string' ? type : typeOf(type ?? null),
      data,
      metadata: xmlDocument(members.get('metadata')),
      loose: data === undefined || !holdsMembers(data),
      listed: true
    }
  })
}

function xmlDocument(value: XmlValue | undefined): Buffer | undefined {
  return value === undefined ? undefined : unwrapped(Buffer.from(JSON.stringify(value)))
}

function encode(stream: string, { id, type, data, metadata, contentType, loose, listed }: Draft): NewEvent {
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
