/** Request bodies to events (native contract §3): bytes in, encoded records out, nothing coerced and nothing dropped. */
import { isUtf8 } from 'node:buffer'
import { createHash, randomFillSync } from 'node:crypto'
import { NewEventOfStream as NewEventOfStreamSchema, NewEvent as NewEventSchema } from '../../schemas/events.js'
import { DaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { encodeRecord, idBytes } from '../../src/log/format.js'
import type { NewEvent } from '../../src/streams/append.js'
import { checkAppendableName } from '../../src/streams/names.js'
import { JsonReader } from './json.js'
import { compileShape, type Shape } from './shape.js'

/** The small members of an event, checked; data and metadata stay bytes. */
interface Envelope {
  type: string
  stream?: string
  id?: string
  occurred?: string
  tags?: string[]
}

/** How ids are made for events that bring none. */
export type IdSource = (stream: string, index: number) => { id: Buffer; clientId: boolean }

const checkEvent = compileShape<Envelope>(NewEventSchema)
const checkEventOfStream = compileShape<Envelope>(NewEventOfStreamSchema)

/** Members that reading prints and that say where an event stood: an import takes them along and does not use them. */
const PRINTED = new Set(['number', 'position', 'cursor', 'created', 'link'])

export interface ParseOptions {
  /** The stream of all events; undefined when each names its own. */
  stream: string | undefined
  ids: IdSource
  /** Lines as reading prints them: what the log assigned is passed over, and `dataText`/`dataBase64` are understood. */
  asPrinted?: boolean
}

/** One event or an array of them. @throws `malformed-json`, `empty-batch`, `batch-too-large`, `invalid-event`… */
export function parseJsonEvents(body: Buffer, options: ParseOptions): NewEvent[] {
  const reader = new JsonReader(body)
  const events: NewEvent[] = []
  if (reader.atArray) reader.elements((index) => events.push(parseEvent(reader, index, options)))
  else events.push(parseEvent(reader, 0, options))
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

/** One line of NDJSON; undefined when it is empty. @throws as parseJsonEvents, with `line` */
export function parseLine(bytes: Buffer, line: number, index: number, options: ParseOptions): NewEvent | undefined {
  if (bytes.length === 0 || (bytes.length < 64 && bytes.toString().trim() === '')) return undefined
  try {
    const reader = new JsonReader(bytes)
    const event = parseEvent(reader, index, options)
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
  if (events.length > limits.batch_events_max) {
    throw new DaybookError('batch-too-large', `A batch has at most ${limits.batch_events_max} events.`, {
      limit: limits.batch_events_max
    })
  }
  return events
}

/** Reads one event object where the reader stands. */
export function parseEvent(reader: JsonReader, index: number, options: ParseOptions): NewEvent {
  if (!reader.atObject) throw new DaybookError('invalid-event', 'An event is an object.', { index })
  const envelope: Record<string, unknown> = {}
  const bytes: EventBytes = {}
  reader.members((name) => {
    if (name === 'data') bytes.data = reader.slice()
    else if (name === 'metadata') bytes.metadata = reader.slice()
    else if (options.asPrinted && PRINTED.has(name)) reader.slice()
    else if (options.asPrinted && readPrintedData(reader, name, bytes)) return
    else defineMember(envelope, name, reader.value())
  })
  return makeEvent(envelope, bytes, index, options)
}

interface EventBytes {
  data?: Buffer
  metadata?: Buffer
  contentType?: string
}

/** Data that was not JSON, as the recorded event shows it. */
function readPrintedData(reader: JsonReader, name: string, bytes: EventBytes): boolean {
  if (name !== 'contentType' && name !== 'dataText' && name !== 'dataBase64') return false
  const value = reader.value()
  if (typeof value !== 'string') throw new DaybookError('invalid-event', `"${name}" is a string.`)
  if (name === 'contentType') bytes.contentType = value
  else bytes.data = Buffer.from(value, name === 'dataText' ? 'utf8' : 'base64')
  return true
}

/** Own property whatever the name: `__proto__` from a client must not become one. */
function defineMember(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
}

/** One event whose data is the whole body (`Event-Type` names its type). */
export function parseBareEvent(
  body: Buffer,
  header: { type: string; id?: string | undefined; metadata?: Buffer | undefined; contentType: string | undefined },
  options: ParseOptions
): NewEvent {
  const envelope: Record<string, unknown> = { type: header.type }
  if (header.id !== undefined) envelope.id = header.id
  const bytes: EventBytes = { data: body }
  if (header.contentType === undefined) {
    const reader = new JsonReader(body)
    bytes.data = reader.slice()
    reader.end()
  } else bytes.contentType = header.contentType
  if (header.metadata !== undefined) {
    const reader = new JsonReader(header.metadata)
    bytes.metadata = reader.slice()
    reader.end()
  }
  return makeEvent(envelope, bytes, 0, options)
}

/** Checks an event's small members and lengths, and encodes it. @throws `invalid-event`, `bad-tag`, `event-too-large`… */
export function makeEvent(unchecked: object, bytes: EventBytes, index: number, options: ParseOptions): NewEvent {
  const shape: Shape<Envelope> = options.stream === undefined ? checkEventOfStream : checkEvent
  const envelope = shape(unchecked, (why, where) => new DaybookError('invalid-event', why, { index, ...where }))
  const stream = options.stream ?? (envelope.stream as string)
  if (options.stream === undefined) checkAppendableName(stream)
  checkText('type', envelope.type, limits.type_bytes_max, 'invalid-event', index)
  for (const tag of envelope.tags ?? []) checkText('tag', tag, limits.tag_bytes_max, 'bad-tag', index)
  const size = (bytes.data?.length ?? 0) + (bytes.metadata?.length ?? 0)
  if (size > limits.event_bytes_max) {
    throw new DaybookError(
      'event-too-large',
      `Event ${index} has ${size} bytes of data and metadata; at most ${limits.event_bytes_max} are taken.`,
      {
        index,
        limit: limits.event_bytes_max
      }
    )
  }
  const { id, clientId } =
    envelope.id === undefined ? options.ids(stream, index) : { id: idBytes(envelope.id), clientId: true }
  const content = { ...bytes, id, clientId, type: envelope.type, occurred: envelope.occurred, tags: envelope.tags }
  return { stream, id, clientId, type: envelope.type, record: encodeRecord(stream, content) }
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

const idPool = Buffer.alloc(16 * 256)
let idsLeft = 0

/** Random ids (UUID version 4), for events that bring none. */
export function randomIds(): { id: Buffer; clientId: boolean } {
  if (idsLeft === 0) {
    randomFillSync(idPool)
    idsLeft = 256
  }
  idsLeft--
  const id = Buffer.from(idPool.subarray(idsLeft * 16, idsLeft * 16 + 16))
  id[6] = ((id[6] as number) & 0x0f) | 0x40
  id[8] = ((id[8] as number) & 0x3f) | 0x80
  return { id, clientId: false }
}

/** Ids made from an Idempotency-Key: UUID version 5 of (stream, key, index), the same at every retry. */
export function keyedIds(key: string): IdSource {
  return (stream, index) => {
    const hash = createHash('sha1').update(KEY_NAMESPACE).update(`${stream}\n${key}\n${index}`).digest()
    const id = hash.subarray(0, 16)
    id[6] = ((id[6] as number) & 0x0f) | 0x50
    id[8] = ((id[8] as number) & 0x3f) | 0x80
    return { id, clientId: true }
  }
}

/** Names the space of ids made from keys; never to change, or retries across versions would be written twice. */
const KEY_NAMESPACE = idBytes('1d0c7a52-5b0e-4d1f-9c9b-6f6b3d0f2a77')
