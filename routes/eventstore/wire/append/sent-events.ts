/** Extracts the events of a body (reference 5.1, 5.2), before validation and encoding. */
import { DaybookError } from '../../../../src/errors.js'
import { JsonReader } from '../../../../src/json.js'
import { limits } from '../../../../src/limits.js'
import { wholeValue } from '../../../wire/writing/body.js'
import { checkTextBody } from '../../../wire/writing/event-body.js'
import { isDocument } from '../../../wire/writing/event-draft.js'
import { type Codec, codecs } from '../codecs.js'
import { parseGuid } from '../headers.js'
import { badRequest, Refusal } from '../refusal.js'
import { parseXmlEvents, type XmlValue } from './xml-events.js'

const INVALID_BODY = 'Write request body invalid.'

/** The members of an event in a body. */
export interface SentEvent {
  id: string | undefined
  type: string | undefined
  data: Buffer | undefined
  metadata: Buffer | undefined
  contentType?: string | undefined
  /** True for an event of a list whose data is no object or array: in lists, only these count as JSON. */
  loose: boolean
  /** True for an event of a list, where every event needs an id. */
  listed: boolean
}

/** Codecs of bodies that are lists of events with ids and types. */
export const EVENT_LISTS = new Set<Codec>([
  codecs.eventJson,
  codecs.eventsJson,
  codecs.eventXml,
  codecs.eventsXml,
  codecs.description
])
/** Codecs that are also lists, but need the headers of a single event. */
export const ATOM_LISTS = new Set<Codec>([codecs.atom, codecs.atomJson])

/**
 * Returns the events of a body. After each event of a JSON list, yields the number of bytes read so far.
 * @param type the type from the header, for a body that is the data of one event
 * @param id the id from the header or from the path, for the same kind of body
 * @throws refusals of the dialect
 */
export function* sentEventSteps(
  codec: Codec,
  body: Buffer,
  type: string | undefined,
  id: string | undefined
): Generator<number, SentEvent[]> {
  if (codec === codecs.description) throw badRequest(INVALID_BODY)
  if (EVENT_LISTS.has(codec) || ATOM_LISTS.has(codec)) {
    const events = codec.xml ? parseXmlList(body) : yield* jsonListSteps(body)
    if (events.length === 0) throw badRequest(INVALID_BODY)
    return events
  }
  const bare = { id, type, metadata: undefined, loose: false, listed: false }
  if (codec === codecs.json) return [{ ...bare, data: wholeDocument(body) }]
  checkTextBody(body, codec.type)
  return [{ ...bare, data: body, contentType: codec.type }]
}

/** Returns the body as JSON; undefined for an empty body (an event without data). @throws a 400 for invalid JSON */
function wholeDocument(body: Buffer): Buffer | undefined {
  if (body.length === 0) return undefined
  try {
    return wholeValue(body)
  } catch (error) {
    throw badRequest((error as Error).message)
  }
}

function* jsonListSteps(body: Buffer): Generator<number, SentEvent[]> {
  const events: SentEvent[] = []
  try {
    const reader = new JsonReader(body)
    if (!reader.atArray) throw badRequest(INVALID_BODY)
    for (let more = reader.enterArray(); more; more = reader.nextElement()) {
      if (events.length >= limits.dialect_batch_events_max) throw tooMany()
      if (!reader.atObject) throw badRequest(reader.value() === null ? NULL_EVENT : INVALID_BODY)
      events.push(parseJsonEvent(reader))
      yield reader.at
    }
    reader.end()
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw badRequest(INVALID_BODY)
  }
  return events
}

const NULL_EVENT = 'An event of the list is null. Each event must be an object.'

/** The reason phrase differs from that for a too large event, because each event of the batch may be small. */
function tooMany(): Refusal {
  return new Refusal(413, 'Too many events received', {
    body: `The batch has more than ${limits.dialect_batch_events_max} events. Send several requests. Nothing was written.`
  })
}

/** Reads an event. Member names are case-insensitive. The last of repeated members counts; unknown ones are ignored. */
function parseJsonEvent(reader: JsonReader): SentEvent {
  const event: SentEvent = {
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
          event.id = guidOf(reader.value())
          break
        case 'eventtype':
          event.type = typeOf(reader.value())
          break
        case 'data':
          event.data = unwrapped(reader.slice())
          break
        case 'metadata':
          event.metadata = unwrapped(reader.slice())
          break
        default:
          reader.slice()
      }
    },
    { repeats: true }
  )
  event.loose = event.data === undefined || !isDocument(event.data)
  return event
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

/** Returns the content of a string that contains a JSON object or array, undefined for null, other values unchanged. */
function unwrapped(json: Buffer): Buffer | undefined {
  if (json[0] !== QUOTE) return json.toString('latin1') === 'null' ? undefined : json
  const text = (JSON.parse(json.toString()) as string).trim()
  if (!/^[{[]/.test(text)) return json
  try {
    return wholeValue(Buffer.from(text))
  } catch {
    return json
  }
}

const QUOTE = 0x22

function parseXmlList(body: Buffer): SentEvent[] {
  let events: Record<string, XmlValue>[]
  try {
    events = parseXmlEvents(body)
  } catch (error) {
    if (error instanceof DaybookError) throw badRequest(INVALID_BODY)
    throw error
  }
  if (events.length > limits.dialect_batch_events_max) throw tooMany()
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
      loose: data === undefined || !isDocument(data),
      listed: true
    }
  })
}

function xmlDocument(value: XmlValue | undefined): Buffer | undefined {
  return value === undefined ? undefined : unwrapped(Buffer.from(JSON.stringify(value)))
}
