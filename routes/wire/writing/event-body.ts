/** Parses request bodies to events (native contract §3), without coercing values or dropping members. */
import { isUtf8 } from 'node:buffer'
import {
  NewEventOfStream as NewEventOfStreamSchema,
  NewEvent as NewEventSchema,
  RecordMark as RecordMarkSchema
} from '../../../schemas/events.js'
import { DaybookError } from '../../../src/errors.js'
import { JsonReader } from '../../../src/json.js'
import { limits } from '../../../src/limits.js'
import type { RecordMark } from '../../../src/log/format.js'
import { LineSplitter, type NumberedLine } from '../../../src/ndjson.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { unknownName } from '../problems/known-names.js'
import { compileShape, type Refuse } from '../problems/shape.js'
import { escaped } from '../problems/shape-faults.js'
import { wholeValue } from './body.js'
import { EventDraft, makeEvent, makeRemovedEvent, type ParseOptions, refuserOf } from './event-draft.js'
import { parseInTurns } from './parsing-turns.js'

const MEMBERS = Object.keys(NewEventSchema.properties)
const MEMBERS_WITH_STREAM = Object.keys(NewEventOfStreamSchema.properties)

const checkMark = compileShape<RecordMark>(RecordMarkSchema, 'record')

/** Members that the log assigns. Reads show them, and an import ignores them. */
const PRINTED = new Set(['number', 'position', 'cursor', 'created', 'link', 'retryCount'])

/**
 * Parses one event or an array of events. Returns a promise for a large body, which is parsed in turns.
 * @throws `malformed-json`, `empty-batch`, `batch-too-large`, `invalid-event`, `bad-tag`, `event-too-large`
 */
export function parseJsonEvents(body: Buffer, options: ParseOptions): NewEvent[] | Promise<NewEvent[]> {
  return parseInTurns(body.length, jsonSteps(body, options))
}

function* jsonSteps(body: Buffer, options: ParseOptions): Generator<number, NewEvent[]> {
  const reader = new JsonReader(body)
  let events: NewEvent[] = []
  if (body.length === 0)
    throw refuserOf(options, 0)('The body is empty. It must be an event, which is an object.', { pointer: '' })
  if (reader.atArray) events = yield* elementSteps(reader, { ...options, within: '' })
  else events.push(parseEvent(reader, 0, options))
  reader.end()
  return checkBatch(events)
}

/** Parses an array of events at the reader, one event per step. @throws as parseJsonEvents */
export function* elementSteps(reader: JsonReader, options: ParseOptions): Generator<number, NewEvent[]> {
  const events: NewEvent[] = []
  for (let more = reader.enterArray(); more; more = reader.nextElement()) {
    if (events.length >= limits.batch_events_max) throw tooManyEvents()
    events.push(parseEvent(reader, events.length, options))
    yield reader.at
  }
  return events
}

/** Parses NDJSON with one event per line; ignores empty lines. @throws as parseJsonEvents, with `line` */
export function parseNdjsonEvents(body: Buffer, options: ParseOptions): NewEvent[] | Promise<NewEvent[]> {
  return parseInTurns(body.length, lineSteps(body, options))
}

/** Returns the line number, from 1, of an event in an NDJSON body that has been parsed already. */
export function lineOf(body: Buffer, index: number): number | undefined {
  const splitter = new LineSplitter()
  const lines = [...splitter.push(body)]
  const last = splitter.end()
  if (last !== undefined) lines.push(last)
  return lines[index]?.number
}

function* lineSteps(body: Buffer, options: ParseOptions): Generator<number, NewEvent[]> {
  const events: NewEvent[] = []
  const add = ({ number, bytes }: NumberedLine) => {
    const event = parseLine(bytes, number, events.length, options)
    if (event !== undefined) events.push(event)
    if (events.length > limits.batch_events_max) throw tooManyEvents()
  }
  const splitter = new LineSplitter()
  let read = 0
  for (const line of splitter.push(body)) {
    add(line)
    read += line.bytes.length
    yield read
  }
  const last = splitter.end()
  if (last !== undefined) add(last)
  return checkBatch(events)
}

/**
 * Parses one line of NDJSON. Returns undefined for an empty line, and for a removed event unless `asRecorded` is set.
 * @throws as parseJsonEvents, with `line`
 */
export function parseLine(bytes: Buffer, line: number, index: number, options: ParseOptions): NewEvent | undefined {
  if (bytes.length === 0 || (bytes.length < 64 && bytes.toString().trim() === '')) return undefined
  try {
    const reader = new JsonReader(bytes)
    const draft = readDraft(reader, index, options)
    const event =
      draft.record?.kind === 'removed' ? makeRemovedEvent(draft, index, options) : makeEvent(draft, index, options)
    if (/^\s*[{[]/.test(bytes.toString('latin1', reader.at, reader.at + 8))) {
      throw new DaybookError(
        'malformed-json',
        'Two values are on one line; were the line breaks lost? (with curl, use --data-binary)'
      )
    }
    reader.end()
    return event
  } catch (error) {
    if (!(error instanceof DaybookError)) throw error
    throw new DaybookError(error.code, atLine(line, error.message), { ...error.details, line }, error)
  }
}

/** Puts the line number into a message of the JSON reader, which takes each line for line 1 of its own text. */
function atLine(line: number, message: string): string {
  const [inText] = /^At line 1, /.exec(message) ?? []
  return inText === undefined ? `Line ${line}: ${message}` : `Line ${line}, ${message.slice(inText.length)}`
}

/** Returns the events if their number is allowed. @throws `empty-batch`, `batch-too-large` */
export function checkBatch(events: NewEvent[]): NewEvent[] {
  if (events.length === 0) throw new DaybookError('empty-batch', 'The body contains no event to append.')
  if (events.length > limits.batch_events_max) throw tooManyEvents()
  return events
}

export function tooManyEvents(): DaybookError {
  return new DaybookError('batch-too-large', `A batch may have at most ${limits.batch_events_max} events.`, {
    limit: limits.batch_events_max
  })
}

/** Parses one event object at the reader. @throws `invalid-event`, `event-too-large`, `bad-tag`, `malformed-json` */
export function parseEvent(reader: JsonReader, index: number, options: ParseOptions): NewEvent {
  return makeEvent(readDraft(reader, index, options), index, options)
}

function readDraft(reader: JsonReader, index: number, options: ParseOptions): EventDraft {
  const refuse = refuserOf(options, index)
  if (!reader.atObject) throw refuse('An event must be a JSON object.', { pointer: '' })
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
    else if (options.asPrinted && name === 'record') draft.record = checkMark(reader.value(), refuse)
    else if (options.asPrinted && readPrintedData(reader, name, draft, refuse)) return
    else {
      const known = options.stream === undefined ? MEMBERS_WITH_STREAM : MEMBERS
      throw refuse(unknownName(name, known), { pointer: `/${escaped(name)}` })
    }
  })
  if (options.asPrinted) takePrintedData(draft, refuse)
  return draft
}

/** Reads a member that shows data which is not JSON. @returns false if `name` is not such a member */
function readPrintedData(reader: JsonReader, name: string, draft: EventDraft, refuse: Refuse): boolean {
  if (name !== 'contentType' && name !== 'dataText' && name !== 'dataBase64') return false
  const value = reader.value()
  if (typeof value !== 'string') throw refuse(`"${name}" must be text.`, { pointer: `/${name}` })
  if (name === 'contentType') draft.contentType = value
  else if (name === 'dataText') draft.printed = Buffer.from(value)
  else {
    draft.printed = Buffer.from(value, 'base64')
    if (draft.printed.toString('base64') !== value)
      throw refuse('"dataBase64" is not valid base64.', { pointer: `/${name}` })
  }
  return true
}

/** Moves `dataText` or `dataBase64` to the data of the draft. Either requires `contentType` and excludes `data`. */
function takePrintedData(draft: EventDraft, refuse: Refuse): void {
  const { contentType, printed } = draft
  if (contentType === undefined && printed === undefined) return
  if (contentType === undefined || printed === undefined || draft.data !== undefined) {
    throw refuse(
      '"contentType" requires "dataText" or "dataBase64", and they require it; "data" must be absent then.',
      {
        pointer: ''
      }
    )
  }
  if (!isBareType(contentType)) {
    throw refuse('"contentType" must be a media type such as text/plain, not JSON.', { pointer: '/contentType' })
  }
  draft.data = printed
}

/** True for the media types of bare event data. */
export function isBareType(type: string): boolean {
  if (type.length > 100 || type.startsWith('application/vnd.eventstore.')) return false
  return /^(text\/[\w.+-]+|application\/(xml|octet-stream|[\w.-]+\+json))$/.test(type)
}

/** The headers that correspond to members of an event. */
const HEADERS: Readonly<Record<string, string>> = { '/type': 'Event-Type', '/id': 'Event-Id' }

/**
 * Returns one event whose data is the whole body; `Event-Type` names its type.
 * @throws as parseJsonEvents, with `header` if a header is wrong
 */
export function parseBareEvent(
  body: Buffer,
  header: { type: string; id?: string | undefined; metadata?: Buffer | undefined; contentType: string | undefined },
  options: ParseOptions
): NewEvent {
  const draft = new EventDraft()
  draft.type = header.type
  draft.id = header.id
  draft.contentType = header.contentType
  draft.data = header.contentType === undefined ? wholeValue(body) : body
  if (header.metadata !== undefined) draft.metadata = wholeValue(header.metadata)
  try {
    return makeEvent(draft, 0, options)
  } catch (error) {
    if (!(error instanceof DaybookError)) throw error
    const { pointer, ...details } = error.details
    const name = HEADERS[String(pointer)]
    throw new DaybookError(
      error.code,
      error.message,
      name === undefined ? details : { ...details, header: name },
      error
    )
  }
}

/** Checks that a body of a text type is UTF-8. @throws `invalid-utf8` */
export function checkTextBody(body: Buffer, contentType: string): void {
  if (/^text\/|[/+](json|xml)$/.test(contentType) && !isUtf8(body)) {
    throw new DaybookError('invalid-utf8', `A body of type ${contentType} must be UTF-8, and this one is not.`)
  }
}
