/** Unchecked events of request bodies, and the checks that turn them into records (native contract §3). */
import {
  NewEventOfStream as NewEventOfStreamSchema,
  NewEvent as NewEventSchema,
  RecordedType
} from '../../../schemas/events.js'
import { DaybookError, isDaybookError } from '../../../src/errors.js'
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
import { checkAppendableName, checkEventStream } from '../../../src/streams/names.js'
import type { NewEvent } from '../../../src/streams/new-event.js'
import { compileShape, type Refuse } from '../problems/shape.js'
import type { IdSource } from './idempotency-key.js'

/** The parsed but unchecked members of an event; `makeEvent` checks them. */
export class EventDraft {
  type: unknown
  stream: unknown
  id: unknown
  occurred: unknown
  tags: unknown
  data: Buffer | undefined
  metadata: Buffer | undefined
  contentType: string | undefined
  /** The bytes of `dataText` or `dataBase64`. */
  printed: Buffer | undefined
  /** The value of `record`, as reads with `record=true` return it. */
  record: RecordMark | undefined
}

export interface ParseOptions {
  /** The stream of all events; undefined if each event names its stream. */
  stream: string | undefined
  /** Generates ids of events without an id; undefined: the log generates them. */
  ids?: IdSource | undefined
  /** JSON pointer to the list of events in the body; undefined: each event is a document of its own. */
  within?: string
  /** Accepts events as reads return them: ignores members that the log assigns; accepts `dataText` and `dataBase64`. */
  asPrinted?: boolean
  /** With `asPrinted`: reproduces the original record of a line with `record`, also for a removed event. */
  asRecorded?: boolean
}

/** One check per member, from the schema in the contract. */
const checkType = compileShape<string>(NewEventSchema.properties.type, 'type')
const checkStream = compileShape<string>(NewEventOfStreamSchema.properties.stream, 'stream')
const checkId = compileShape<string>(NewEventSchema.properties.id, 'id')
const checkOccurred = compileShape<string>(NewEventSchema.properties.occurred, 'occurred')
const checkTags = compileShape<string[]>(NewEventSchema.properties.tags, 'tags')
const checkRecordedType = compileShape<string>(RecordedType, 'type')

/** Returns a function that creates the errors of one event. It prefixes their pointers with the place of the event. */
export function refuserOf(
  { within }: ParseOptions,
  index: number,
  code: 'invalid-event' | 'bad-tag' = 'invalid-event'
): Refuse {
  const event = within === undefined ? '' : `${within}/${index}`
  return (why, { pointer }) => new DaybookError(code, why, { index, pointer: event + pointer })
}

/**
 * Checks the members of an event and encodes it.
 * @throws `invalid-event`, `bad-tag`, `event-too-large`, `bad-stream-name`
 */
export function makeEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent {
  const refuse = refuserOf(options, index)
  const { data, metadata, contentType, record: mark } = draft
  if (draft.type === undefined) throw refuse('"type" is missing.', { pointer: '/type' })
  // The Atom dialect accepts longer types, so a line that was exported from a log may have one.
  const type = mark === undefined ? checkType(draft.type, refuse) : checkRecordedType(draft.type, refuse)
  const typeBytesMax = mark === undefined ? limits.type_bytes_max : limits.dialect_type_bytes_max
  checkText({ what: 'type', text: type, bytesMax: typeBytesMax, pointer: '/type' }, refuse)
  const stream = options.stream ?? ownStream(draft, options, index)
  const occurred = draft.occurred === undefined ? undefined : checkOccurred(draft.occurred, refuse)
  const tags = draft.tags === undefined ? undefined : checkTags(draft.tags, refuse)
  if (tags !== undefined) checkTagTexts(tags, options, index)
  const size = (data?.length ?? 0) + (metadata?.length ?? 0)
  if (size > limits.event_bytes_max) {
    const detail = `Event ${index} has ${size} bytes of data and metadata; at most ${limits.event_bytes_max} are allowed.`
    const { details } = refuse(detail, { pointer: '' })
    throw new DaybookError('event-too-large', detail, { ...details, limit: limits.event_bytes_max })
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

/** True if the data is a JSON object or array, which count as JSON in both APIs. */
export function isDocument(data: Buffer | undefined): boolean {
  return data?.[0] === 0x7b || data?.[0] === 0x5b
}

/**
 * Returns the record kind of a tombstone, or undefined for an event. An export shows a tombstone as an event of type
 * `$streamDeleted`, and only an import may append one. The Atom dialect allows this type for ordinary events too; then
 * only `record` tells the two apart.
 */
function kindOf(
  type: string,
  { data, record: mark }: EventDraft,
  { asPrinted }: ParseOptions,
  refuse: Refuse
): typeof recordKind.tombstone | undefined {
  if (type !== TOMBSTONE_TYPE) {
    if (mark?.kind === 'tombstone')
      throw refuse(`A tombstone must have the type ${TOMBSTONE_TYPE}.`, { pointer: '/type' })
    return undefined
  }
  if (mark?.kind === 'event') return undefined
  if (asPrinted && data === undefined) return recordKind.tombstone
  throw refuse(
    `The type ${TOMBSTONE_TYPE} is reserved; to delete a stream, use DELETE /streams/{stream}?permanent=true.`,
    { pointer: '/type' }
  )
}

function ownStream(draft: EventDraft, options: ParseOptions, index: number): string {
  const refuse = refuserOf(options, index)
  if (draft.stream === undefined) throw refuse('"stream" is missing.', { pointer: '/stream' })
  const stream = checkStream(draft.stream, refuse)
  try {
    if (options.asPrinted) checkAppendableName(stream)
    else checkEventStream(stream)
  } catch (error) {
    if (!isDaybookError(error)) throw error
    const { details } = refuse(error.message, { pointer: '/stream' })
    throw new DaybookError(error.code, error.message, { ...error.details, ...details }, error)
  }
  return stream
}

function checkTagTexts(tags: readonly string[], options: ParseOptions, index: number): void {
  const refuse = refuserOf(options, index, 'bad-tag')
  for (const [i, text] of tags.entries()) {
    checkText({ what: 'tag', text, bytesMax: limits.tag_bytes_max, pointer: `/tags/${i}` }, refuse)
  }
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** A type or tag of an event, and the JSON pointer to it. */
interface EventText {
  readonly what: string
  readonly text: string
  readonly bytesMax: number
  readonly pointer: string
}

function checkText({ what, text, bytesMax, pointer }: EventText, refuse: Refuse): void {
  if (CONTROL.test(text)) throw refuse(`A ${what} must not contain control characters.`, { pointer })
  if (!text.isWellFormed()) throw refuse(`A ${what} must be well-formed Unicode.`, { pointer })
  if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
    const { code, message, details } = refuse(`A ${what} may have at most ${bytesMax} bytes of UTF-8.`, { pointer })
    throw new DaybookError(code, message, { ...details, limit: bytesMax })
  }
}

/**
 * Returns the record of a removed event, which keeps its number and position. Only an import as the same log
 * (`asRecorded`) reproduces removed events; undefined otherwise.
 */
export function makeRemovedEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent | undefined {
  if (!options.asRecorded) return undefined
  const stream = options.stream ?? ownStream(draft, { ...options, asPrinted: true }, index)
  const { hash } = draft.record as RecordMark
  const record = encodeRemoved(stream, hash === undefined ? undefined : Buffer.from(hash, 'hex'))
  return { stream, id: undefined, type: '', record }
}
