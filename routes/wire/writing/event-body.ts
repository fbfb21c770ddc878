/** Request bodies to events (native contract §3): bytes in, encoded records out, nothing coerced and nothing dropped. */
import { isUtf8 } from 'node:buffer'
import {
  NewEventOfStream as NewEventOfStreamSchema,
  NewEvent as NewEventSchema,
  RecordedType,
  RecordMark as RecordMarkSchema
} from '../../../schemas/events.js'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { limits } from '../../../src/limits.js'
import {
  encodeRecord,
  encodeRemoved,
  idBytes,
  type RecordMark,
  readFlags,
  recordKind
} from '../../../src/log/format.js'
import { TOMBSTONE_TYPE } from '../../../src/streams/metadata.js'
import { nameBasedId } from '../../../src/streams/name-based-id.js'
import { checkEventStream, checkRecordedName } from '../../../src/streams/names.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { compileShape, unknownName } from '../problems/shape.js'

/** An event as its members are read; checked by `makeEvent`. */
export class EventDraft {
  type: unknown
  stream: unknown
  id: unknown
  occurred: unknown
  tags: unknown
  data: Buffer | undefined
  metadata: Buffer | undefined
  contentType: string | undefined
  /** What reading prints as `dataText` or `dataBase64`. */
  printed: Buffer | undefined
  /** What reading prints of its record, when it is asked to. */
  record: RecordMark | undefined
}

/** Makes the ids of events that bring none, so that a retry makes the same ones again. */
export type IdSource = (stream: string, index: number) => Buffer

const MEMBERS = Object.keys(NewEventSchema.properties)
const MEMBERS_WITH_STREAM = Object.keys(NewEventOfStreamSchema.properties)

/** One check a member, made from the schema that stands in the contract. */
const checkType = compileShape<string>(NewEventSchema.properties.type, 'type')
const checkStream = compileShape<string>(NewEventOfStreamSchema.properties.stream, 'stream')
const checkId = compileShape<string>(NewEventSchema.properties.id, 'id')
const checkOccurred = compileShape<string>(NewEventSchema.properties.occurred, 'occurred')
const checkTags = compileShape<string[]>(NewEventSchema.properties.tags, 'tags')
const checkRecordedType = compileShape<string>(RecordedType, 'type')
const checkMark = compileShape<RecordMark>(RecordMarkSchema, 'record')

/** Members that reading prints and that say where an event stood: an import takes them along and does not use them. */
const PRINTED = new Set(['number', 'position', 'cursor', 'created', 'link'])

export interface ParseOptions {
  /** The stream of all events; undefined when each names its own. */
  stream: string | undefined
  /** Undefined: the log makes the ids. */
  ids?: IdSource | undefined
  /** Lines as reading prints them: what the log assigned is passed over, and `dataText`/`dataBase64` are understood. */
  asPrinted?: boolean
  /** With `asPrinted`: a line with `record` becomes that very record, also one of a removed event. */
  asRecorded?: boolean
}

/** One event or an array of them. @throws `malformed-json`, `empty-batch`, `batch-too-large`, `invalid-event`… */
export function parseJsonEvents(body: Buffer, options: ParseOptions): NewEvent[] {
  const reader = new JsonReader(body)
  const events: NewEvent[] = []
  if (reader.atArray) {
    reader.elements((index) => {
      if (index >= limits.batch_events_max) throw tooManyEvents()
      events.push(parseEvent(reader, index, options))
    })
  } else events.push(parseEvent(reader, 0, options))
  reader.end()
  return checkBatch(events)
}

/** An event a line. Empty lines are passed over. @throws as parseJsonEvents, with `line` */
export function parseNdjsonEvents(body: Buffer, options: ParseOptions): NewEvent[] {
  const events: NewEvent[] = []
  let line = 0
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(10, start)
    const end = found < 0 ? body.length : found
    line++
    const event = parseLine(body.subarray(start, end), line, events.length, options)
    if (event !== undefined) events.push(event)
    if (events.length > limits.batch_events_max) checkBatch(events)
    start = end + 1
  }
  return checkBatch(events)
}

/**
 * One line of NDJSON; undefined when it is empty, or says of an event that it was removed.
 * @throws as parseJsonEvents, with `line`
 */
export function parseLine(bytes: Buffer, line: number, index: number, options: ParseOptions): NewEvent | undefined {
  if (bytes.length === 0 || (bytes.length < 64 && bytes.toString().trim() === '')) return undefined
  try {
    const reader = new JsonReader(bytes)
    const draft = readDraft(reader, index, options)
    const event =
      draft.record?.kind === 'removed' ? removedEvent(draft, index, options) : makeEvent(draft, index, options)
    if (/^\s*[{[]/.test(bytes.toString('latin1', reader.at, reader.at + 8))) {
      throw new DaybookError(
        'malformed-json',
        'Two values stand on one line; were the line breaks lost? (curl: --data-binary)'
      )
    }
    reader.end()
    return event
  } catch (error) {
    if (!(error instanceof DaybookError)) throw error
    throw new DaybookError(error.code, `Line ${line}: ${error.message}`, { ...error.details, line }, error)
  }
}

/** @throws `empty-batch`, `batch-too-large` */
export function checkBatch(events: NewEvent[]): NewEvent[] {
  if (events.length === 0) throw new DaybookError('empty-batch', 'There is no event to append.')
  if (events.length > limits.batch_events_max) throw tooManyEvents()
  return events
}

export function tooManyEvents(): DaybookError {
  return new DaybookError('batch-too-large', `A batch has at most ${limits.batch_events_max} events.`, {
    limit: limits.batch_events_max
  })
}

/** Reads one event object where the reader stands. @throws `invalid-event`, `event-too-large`, `bad-tag`, `malformed-json` */
export function parseEvent(reader: JsonReader, index: number, options: ParseOptions): NewEvent {
  return makeEvent(readDraft(reader, index, options), index, options)
}

function readDraft(reader: JsonReader, index: number, options: ParseOptions): EventDraft {
  if (!reader.atObject) throw new DaybookError('invalid-event', 'An event is an object.', { index })
  const draft = new EventDraft()
  reader.members((name) => {
    if (name === 'type') draft.type = reader.value()
    else if (name === 'data') draft.data = reader.slice()
    else if (name === 'metadata') draft.metadata = reader.slice()
    else if (name === 'id') draft.id = reader.value()
    else if (name === 'occurred') draft.occurred = reader.value()
    else if (name === 'tags') draft.tags = reader.value()
    else if (name === 'stream' && options.stream === undefined) draft.stream = reader.value()
    else if (options.asPrinted && PRINTED.has(name)) reader.slice()
    else if (options.asPrinted && name === 'record') draft.record = readMark(reader, index)
    else if (options.asPrinted && readPrintedData(reader, name, draft)) return
    else {
      const known = options.stream === undefined ? MEMBERS_WITH_STREAM : MEMBERS
      throw new DaybookError('invalid-event', unknownName(name, known), { index })
    }
  })
  if (options.asPrinted) takePrintedData(draft, (why) => new DaybookError('invalid-event', why, { index }))
  return draft
}

function readMark(reader: JsonReader, index: number): RecordMark {
  return checkMark(reader.value(), (why, where) => new DaybookError('invalid-event', why, { index, ...where }))
}

/** A removed event cannot be appended; only a copy of its log keeps its place. */
function removedEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent | undefined {
  if (!options.asRecorded) return undefined
  const stream =
    options.stream ??
    ownStream(draft, true, (why, where) => new DaybookError('invalid-event', why, { index, ...where }))
  const { hash } = draft.record as RecordMark
  const record = encodeRemoved(stream, hash === undefined ? undefined : Buffer.from(hash, 'hex'))
  return { stream, id: undefined, type: '', record }
}

/** Data that was not JSON, as the recorded event shows it. */
function readPrintedData(reader: JsonReader, name: string, draft: EventDraft): boolean {
  if (name !== 'contentType' && name !== 'dataText' && name !== 'dataBase64') return false
  const value = reader.value()
  if (typeof value !== 'string') throw new DaybookError('invalid-event', `"${name}" is a string.`)
  if (name === 'contentType') draft.contentType = value
  else if (name === 'dataText') draft.printed = Buffer.from(value)
  else {
    draft.printed = Buffer.from(value, 'base64')
    if (draft.printed.toString('base64') !== value)
      throw new DaybookError('invalid-event', '"dataBase64" is not base64.')
  }
  return true
}

/** Data that is not JSON stands with its content type, and with nothing else. */
function takePrintedData(draft: EventDraft, refuse: (why: string, where: object) => DaybookError): void {
  const { contentType, printed } = draft
  if (contentType === undefined && printed === undefined) return
  if (contentType === undefined || printed === undefined || draft.data !== undefined) {
    throw refuse('"contentType" stands with "dataText" or "dataBase64", and without "data".', {})
  }
  if (!isBareType(contentType)) throw refuse(`"contentType" is a media type such as text/plain, not JSON.`, {})
  draft.data = printed
}

/** Media types under which one event's bare data is taken. */
export function isBareType(type: string): boolean {
  if (type.length > 100 || type.startsWith('application/vnd.eventstore.')) return false
  return /^(text\/[\w.+-]+|application\/(xml|octet-stream|[\w.-]+\+json))$/.test(type)
}

/** One event whose data is the whole body (`Event-Type` names its type). */
export function parseBareEvent(
  body: Buffer,
  header: { type: string; id?: string | undefined; metadata?: Buffer | undefined; contentType: string | undefined },
  options: ParseOptions
): NewEvent {
  const draft = new EventDraft()
  draft.type = header.type
  draft.id = header.id
  draft.contentType = header.contentType
  draft.data = header.contentType === undefined ? wholeJson(body) : body
  if (header.metadata !== undefined) draft.metadata = wholeJson(header.metadata)
  return makeEvent(draft, 0, options)
}

function wholeJson(bytes: Buffer): Buffer {
  const reader = new JsonReader(bytes)
  const value = reader.slice()
  reader.end()
  return value
}

/** Checks an event's members and encodes it. @throws `invalid-event`, `bad-tag`, `event-too-large`, `bad-stream-name` */
export function makeEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent {
  const refuse = (why: string, where: { pointer?: string }) =>
    new DaybookError('invalid-event', why, { index, ...where })
  const { data, metadata, contentType, record: mark } = draft
  if (draft.type === undefined) throw refuse('"type" is missing.', {})
  // EventStoreDB's form takes longer types, so a line that comes from a log may have one.
  const type = mark === undefined ? checkType(draft.type, refuse) : checkRecordedType(draft.type, refuse)
  const typeBytesMax = mark === undefined ? limits.type_bytes_max : limits.dialect_type_bytes_max
  checkText('type', type, typeBytesMax, 'invalid-event', index)
  const stream = options.stream ?? ownStream(draft, options.asPrinted ?? false, refuse)
  const occurred = draft.occurred === undefined ? undefined : checkOccurred(draft.occurred, refuse)
  const tags = draft.tags === undefined ? undefined : checkTags(draft.tags, refuse)
  if (tags !== undefined) for (const tag of tags) checkText('tag', tag, limits.tag_bytes_max, 'bad-tag', index)
  const size = (data?.length ?? 0) + (metadata?.length ?? 0)
  if (size > limits.event_bytes_max) {
    const detail = `Event ${index} has ${size} bytes of data and metadata; at most ${limits.event_bytes_max} are taken.`
    throw new DaybookError('event-too-large', detail, { index, limit: limits.event_bytes_max })
  }
  const id = draft.id === undefined ? options.ids?.(stream, index) : idBytes(checkId(draft.id, refuse))
  const kind = kindOf(type, draft, options, refuse)
  const kept = id !== undefined
  const { clientId, loose } = mark === undefined ? { clientId: kept, loose: false } : readFlags(mark.flags)
  const record = encodeRecord(stream, {
    id,
    clientId: options.asRecorded ? clientId : kept,
    type,
    occurred,
    tags,
    contentType,
    loose: loose && !isDocument(data),
    data,
    metadata,
    kind
  })
  return { stream, id, type, record }
}

/** True for an object or an array, which are JSON in every form. */
function isDocument(data: Buffer | undefined): boolean {
  return data?.[0] === 0x7b || data?.[0] === 0x5b
}

/**
 * An export shows a tombstone as an event of its type; nobody else appends one. In EventStoreDB's form an event can have
 * that type and be none, which only `record` tells.
 */
function kindOf(
  type: string,
  { data, record: mark }: EventDraft,
  { asPrinted }: ParseOptions,
  refuse: (why: string, where: object) => DaybookError
): typeof recordKind.tombstone | undefined {
  if (type !== TOMBSTONE_TYPE) {
    if (mark?.kind === 'tombstone') throw refuse(`A tombstone has the type ${TOMBSTONE_TYPE}.`, {})
    return undefined
  }
  if (mark?.kind === 'event') return undefined
  if (asPrinted && data === undefined) return recordKind.tombstone
  throw refuse(
    `Nothing is appended under the type ${TOMBSTONE_TYPE}: DELETE /streams/{stream}?permanent=true does that.`,
    {}
  )
}

function ownStream(
  draft: EventDraft,
  asPrinted: boolean,
  refuse: (why: string, where: object) => DaybookError
): string {
  if (draft.stream === undefined) throw refuse('"stream" is missing.', {})
  const stream = checkStream(draft.stream, refuse)
  if (asPrinted) checkRecordedName(stream)
  else checkEventStream(stream)
  return stream
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

function checkText(
  what: string,
  text: string,
  bytesMax: number,
  code: 'invalid-event' | 'bad-tag',
  index: number
): void {
  if (CONTROL.test(text)) throw new DaybookError(code, `A ${what} has no control characters.`, { index })
  if (!text.isWellFormed()) throw new DaybookError(code, `A ${what} is well-formed Unicode.`, { index })
  if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
    throw new DaybookError(code, `A ${what} has at most ${bytesMax} bytes of UTF-8.`, { index, limit: bytesMax })
  }
}

/** True when bytes under a text content type are text. */
export function checkTextBody(body: Buffer, contentType: string): void {
  if (/^text\/|[/+](json|xml)$/.test(contentType) && !isUtf8(body)) {
    throw new DaybookError('invalid-utf8', `A body of type ${contentType} is UTF-8; these bytes are not.`)
  }
}

/** Ids made from an Idempotency-Key: UUID version 5 of (stream, key, index), the same at every retry. */
export function keyedIds(key: string): IdSource {
  return (stream, index) => nameBasedId(KEY_NAMESPACE, `${stream}\n${key}\n${index}`)
}

/** Names the space of ids made from keys; never to change, or retries across versions would be written twice. */
const KEY_NAMESPACE = idBytes('1d0c7a52-5b0e-4d1f-9c9b-6f6b3d0f2a77')
