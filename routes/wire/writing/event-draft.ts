/** An event as its members were read, and the checks that make a record of it (native contract §3). */
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

/** An event as its members were read; `makeEvent` checks them. */
export class EventDraft {
  type: unknown
  stream: unknown
  id: unknown
  occurred: unknown
  tags: unknown
  data: Buffer | undefined
  metadata: Buffer | undefined
  contentType: string | undefined
  /** The value of `dataText` or `dataBase64`, as bytes. */
  printed: Buffer | undefined
  /** The value of `record`, which reads with `record=true` show. */
  record: RecordMark | undefined
}

export interface ParseOptions {
  /** The stream of all events; undefined when each names its own. */
  stream: string | undefined
  /** Undefined: the log makes the ids. */
  ids?: IdSource | undefined
  /** JSON pointer to the list that holds the events; undefined: each event is a document of its own. */
  within?: string
  /** Takes lines as reads show them: ignores what the log assigned, and reads `dataText` and `dataBase64`. */
  asPrinted?: boolean
  /** With `asPrinted`: a line with `record` becomes that very record, also one of a removed event. */
  asRecorded?: boolean
}

/** One check a member, made from the schema that stands in the contract. */
const checkType = compileShape<string>(NewEventSchema.properties.type, 'type')
const checkStream = compileShape<string>(NewEventOfStreamSchema.properties.stream, 'stream')
const checkId = compileShape<string>(NewEventSchema.properties.id, 'id')
const checkOccurred = compileShape<string>(NewEventSchema.properties.occurred, 'occurred')
const checkTags = compileShape<string[]>(NewEventSchema.properties.tags, 'tags')
const checkRecordedType = compileShape<string>(RecordedType, 'type')

/** Makes the errors of an event; their pointers begin where the event stands. */
export function refuserOf(
  { within }: ParseOptions,
  index: number,
  code: 'invalid-event' | 'bad-tag' = 'invalid-event'
): Refuse {
  const event = within === undefined ? '' : `${within}/${index}`
  return (why, { pointer }) => new DaybookError(code, why, { index, pointer: event + pointer })
}

/** Checks an event's members and encodes it. @throws `invalid-event`, `bad-tag`, `event-too-large`, `bad-stream-name` */
export function makeEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent {
  const refuse = refuserOf(options, index)
  const { data, metadata, contentType, record: mark } = draft
  if (draft.type === undefined) throw refuse('"type" is missing.', { pointer: '/type' })
  // The Atom dialect takes longer types, so a line that was read from a log may have one.
  const type = mark === undefined ? checkType(draft.type, refuse) : checkRecordedType(draft.type, refuse)
  const typeBytesMax = mark === undefined ? limits.type_bytes_max : limits.dialect_type_bytes_max
  checkText({ what: 'type', text: type, bytesMax: typeBytesMax, pointer: '/type' }, refuse)
  const stream = options.stream ?? ownStream(draft, options, index)
  const occurred = draft.occurred === undefined ? undefined : checkOccurred(draft.occurred, refuse)
  const tags = draft.tags === undefined ? undefined : checkTags(draft.tags, refuse)
  if (tags !== undefined) checkTagTexts(tags, options, index)
  const size = (data?.length ?? 0) + (metadata?.length ?? 0)
  if (size > limits.event_bytes_max) {
    const detail = `Event ${index} has ${size} bytes of data and metadata; at most ${limits.event_bytes_max} are taken.`
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

/** True for an object or an array, which are JSON in every form. */
export function isDocument(data: Buffer | undefined): boolean {
  return data?.[0] === 0x7b || data?.[0] === 0x5b
}

/**
 * An export shows a tombstone as an event of type `$streamDeleted`; only an import may append one. In the Atom dialect
 * an ordinary event can have that type; only `record` tells the two apart.
 */
function kindOf(
  type: string,
  { data, record: mark }: EventDraft,
  { asPrinted }: ParseOptions,
  refuse: Refuse
): typeof recordKind.tombstone | undefined {
  if (type !== TOMBSTONE_TYPE) {
    if (mark?.kind === 'tombstone') throw refuse(`A tombstone has the type ${TOMBSTONE_TYPE}.`, { pointer: '/type' })
    return undefined
  }
  if (mark?.kind === 'event') return undefined
  if (asPrinted && data === undefined) return recordKind.tombstone
  throw refuse(
    `Nothing is appended under the type ${TOMBSTONE_TYPE}: DELETE /streams/{stream}?permanent=true does that.`,
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

/** A text of an event, and where it stands there. */
interface EventText {
  readonly what: string
  readonly text: string
  readonly bytesMax: number
  readonly pointer: string
}

function checkText({ what, text, bytesMax, pointer }: EventText, refuse: Refuse): void {
  if (CONTROL.test(text)) throw refuse(`A ${what} has no control characters.`, { pointer })
  if (!text.isWellFormed()) throw refuse(`A ${what} is well-formed Unicode.`, { pointer })
  if (text.length * 3 > bytesMax && Buffer.byteLength(text) > bytesMax) {
    const { code, message, details } = refuse(`A ${what} has at most ${bytesMax} bytes of UTF-8.`, { pointer })
    throw new DaybookError(code, message, { ...details, limit: bytesMax })
  }
}

/** The place of a removed event. It cannot be appended; only an import as the same log keeps it. */
export function makeRemovedEvent(draft: EventDraft, index: number, options: ParseOptions): NewEvent | undefined {
  if (!options.asRecorded) return undefined
  const stream = options.stream ?? ownStream(draft, { ...options, asPrinted: true }, index)
  const { hash } = draft.record as RecordMark
  const record = encodeRemoved(stream, hash === undefined ? undefined : Buffer.from(hash, 'hex'))
  return { stream, id: undefined, type: '', record }
}
