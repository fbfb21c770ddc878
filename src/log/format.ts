/**
 * The whole on-disk format in one file. These values are on disk: change none without a new FORMAT_VERSION and a
 * migration. docs/storage-format.md says the same in prose.
 *
 * log/    0x00                           → JSON { format, log, ancestors: [{ log, upTo }] }, then a CRC-32 of key and JSON;
 *                                          in format 1 JSON { format, log } alone
 *         position (8 bytes, big-endian) → record          the truth, synced
 * index/  derived from the log, never ahead of it
 *         "h" family name                → head of a posting list
 *         "b" family list-id block       → a full block of BLOCK_SIZE positions
 *         "p" table page                 → a page of a hash table: its version, then its entries
 *         "c" table write                → the numbers of the pages that one write of the table changed
 *         "v" table write part           → the versions of all pages as that write left them
 *         "m" "state"                    → JSON, see IndexState in index-state.ts
 *         Every value ends in a CRC-32 of its key and itself.
 * checkpoints/  where named consumers are; nothing else depends on it
 *         kind (1 byte) name (UTF-8)     → JSON { log, ancestors, head, cursor, generation, active, defined, moved }, then
 *                                          a CRC-32 of key and JSON; in format 1 the key is the name of a consumer alone
 */
import { crc32 } from 'node:zlib'
import { DaybookError } from '../errors.js'

/** Version of keys and records. A directory of another version is migrated or refused, never guessed at. */
export const FORMAT_VERSION = 2

// ---------------------------------------------------------------------------------------------- keys of log/

/** Key of the record at a position. @param position integer from 0, below 2^53 @param key to write it into */
export function positionKey(position: number, key: Buffer = Buffer.allocUnsafe(8)): Buffer {
  key.writeUInt32BE(Math.floor(position / 0x1_0000_0000), 0)
  key.writeUInt32BE(position >>> 0, 4)
  return key
}

/** The position a log key stands for. */
export function keyPosition(key: Buffer): number {
  return key.readUInt32BE(0) * 0x1_0000_0000 + key.readUInt32BE(4)
}

/**
 * Sorts before every record. After them all it would cost every table: the one that holds it would reach over all that
 * come later, and LevelDB would rewrite tables that it can now simply move.
 */
export const LOG_META_KEY = Buffer.from([0])
export const FIRST_RECORD_KEY = positionKey(0)

// ---------------------------------------------------------------------------------------------- the log's meta

/** An identity that the log had before its end was lost. */
export interface Ancestor {
  readonly log: string
  /** The last position that it shares with the log; -1: none. */
  readonly upTo: number
}

export interface LogMeta {
  /** As it stands on disk. */
  readonly format: number
  /** Identity of the log. */
  readonly log: string
  /** Oldest first. */
  readonly ancestors: readonly Ancestor[]
  /**
   * Positions whose events an operator has given up, as rising ranges with both ends: a start does not refuse because
   * of them.
   */
  readonly unreadable?: readonly (readonly [number, number])[]
}

/** @returns the value of LOG_META_KEY in the present format */
export function encodeLogMeta({ log, ancestors, unreadable = [] }: Omit<LogMeta, 'format'>): Buffer {
  const lost = unreadable.length === 0 ? {} : { unreadable }
  return sealEntry(LOG_META_KEY, Buffer.from(JSON.stringify({ format: FORMAT_VERSION, log, ancestors, ...lost })))
}

/** @throws `format-unknown` for a format that is newer, `log-damaged` when it cannot be read */
export function decodeLogMeta(stored: Buffer): LogMeta {
  const sealed = isSealed(LOG_META_KEY, stored)
  const meta = parseObject(sealed ? stored.subarray(0, -4) : stored)
  const { format, log, ancestors, unreadable = [] } = meta ?? {}
  if (typeof format === 'number' && Number.isInteger(format) && format > FORMAT_VERSION) {
    throw new DaybookError(
      'format-unknown',
      `the directory has format ${format}; this version of Daybook reads formats up to ${FORMAT_VERSION}`
    )
  }
  if (format === 1 && !sealed && isIdentity(log)) return { format, log, ancestors: [] }
  if (format === FORMAT_VERSION && sealed && isIdentity(log) && isAncestry(ancestors) && areRanges(unreadable)) {
    return { format, log, ancestors, ...(unreadable.length > 0 && { unreadable }) }
  }
  throw new DaybookError('log-damaged', 'the meta of the log cannot be read: its checksum or its content is wrong')
}

const IDENTITY = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** True for a UUID, as logs are named. */
export function isIdentity(value: unknown): value is string {
  return typeof value === 'string' && IDENTITY.test(value)
}

function isAncestry(value: unknown): value is readonly Ancestor[] {
  return Array.isArray(value) && value.every((one) => isIdentity(one?.log) && Number.isSafeInteger(one?.upTo))
}

function areRanges(value: unknown): value is readonly (readonly [number, number])[] {
  return Array.isArray(value) && value.every((one) => Array.isArray(one) && one.every(Number.isSafeInteger))
}

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(bytes.toString()) as unknown
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

// ---------------------------------------------------------------------------------------------- records

/**
 * A record's bytes. Everything after the checksum, then the header before it, then the key is checksummed, so that a
 * record that landed under another key is found out.
 *
 *   0  u8   record version (1)          1  u8   kind            2  u16  flags
 *   4  u32  CRC-32                      8  u48  created, ms     14 u48  number
 *   20 16B  event id                    36 u16  stream length   38 u16  type length
 *   40 u32  data length                 44 stream, type, extras, data, metadata (to the end)
 *
 *   extras, each when its flag is set: occurred (u8 length, ASCII) · tags (u8 count, each u16 length, UTF-8) ·
 *   content type (u8 length, ASCII). Without a content type the data is JSON.
 */
const RECORD_VERSION = 1
const HEADER_BYTES = 44
const CRC_AT = 4
const CREATED_AT = 8
const NUMBER_AT = 14
const ID_AT = 20
const PAYLOAD_AT = 20
const HASH_BYTES = 32

/**
 * `tombstone`: the stream ends here for ever. `removed`: the event is gone; the data, if there is any, is the SHA-256 of
 * the whole record that stood here, and is never shown as data.
 */
export const recordKind = { event: 0, removed: 1, tombstone: 2 } as const
export type RecordKind = keyof typeof recordKind
const kindNames = Object.keys(recordKind) as RecordKind[]

const flag = { occurred: 1, tags: 2, contentType: 4, data: 8, metadata: 16, clientId: 32, loose: 64 } as const

/**
 * What a record holds beside the event that reading prints. Event and mark together give the record again, byte for
 * byte. Exports print the mark, so a change of it is a change of the on-disk format.
 */
export interface RecordMark {
  /** Version of the record. */
  readonly version: number
  readonly kind: RecordKind
  /** The 16 bits on disk. Those that name the optional parts follow from the event. */
  readonly flags: number
  /** The record's checksum, 8 hexadecimal digits. */
  readonly crc: string
  /** Of a removed record: the SHA-256 of the one that stood there, 64 hexadecimal digits. */
  readonly hash?: string | undefined
}

/** The two flags that do not follow from the members of a printed event. */
export function readFlags(flags: number): Pick<EventContent, 'clientId' | 'loose'> {
  return { clientId: (flags & flag.clientId) !== 0, loose: (flags & flag.loose) !== 0 }
}

/** What is known of an event before the log gives it its place. Strings stand as they will be read. */
export interface EventContent {
  /** 16 bytes. Absent: the log makes it when it gives the event its place. */
  id?: Buffer | undefined
  /** The client gave the id, or the key that it was made from. */
  clientId: boolean
  type: string
  /** RFC 3339, as the client wrote it. */
  occurred?: string | undefined
  tags?: readonly string[] | undefined
  /** Absent: JSON. */
  contentType?: string | undefined
  /**
   * The data is JSON, but came where only an object or an array counts as such (reference 5.2): readers of that form
   * see a string as its text and any other scalar as nothing.
   */
  loose?: boolean | undefined
  data?: Buffer | undefined
  metadata?: Buffer | undefined
  kind?: (typeof recordKind)[keyof typeof recordKind] | undefined
}

/**
 * An event encoded but not yet placed: the record's bytes with room for number and created, and the checksum of all
 * the rest. Encoding happens when the request arrives, beside the commit that is running; sealing is a few bytes.
 */
export interface UnplacedRecord {
  readonly bytes: Buffer
  /** Absent: the event has no id yet, and the id is part of what is checksummed. */
  readonly payloadCrc: number | undefined
}

/** Encodes an event for a stream. The caller has checked every length against limits.ts. */
export function encodeRecord(stream: string, event: EventContent): UnplacedRecord {
  if (event.id !== undefined && event.id.length !== 16) {
    throw new RangeError(`an event id has 16 bytes, not ${event.id.length}`)
  }
  const streamLength = Buffer.byteLength(stream)
  const typeLength = Buffer.byteLength(event.type)
  const dataLength = event.data?.length ?? 0
  const metadataLength = event.metadata?.length ?? 0
  let flags = (event.clientId ? flag.clientId : 0) | (event.loose ? flag.loose : 0)
  let extras = 0
  if (event.occurred !== undefined) {
    flags |= flag.occurred
    extras += 1 + event.occurred.length
  }
  if (event.tags !== undefined && event.tags.length > 0) {
    flags |= flag.tags
    extras += 1
    for (const tag of event.tags) extras += 2 + Buffer.byteLength(tag)
  }
  if (event.contentType !== undefined) {
    flags |= flag.contentType
    extras += 1 + event.contentType.length
  }
  if (event.data !== undefined) flags |= flag.data
  if (event.metadata !== undefined) flags |= flag.metadata

  const bytes = Buffer.allocUnsafe(HEADER_BYTES + streamLength + typeLength + extras + dataLength + metadataLength)
  bytes[0] = RECORD_VERSION
  bytes[1] = event.kind ?? recordKind.event
  bytes.writeUInt16BE(flags, 2)
  if (event.id !== undefined) bytes.set(event.id, ID_AT)
  bytes.writeUInt16BE(streamLength, 36)
  bytes.writeUInt16BE(typeLength, 38)
  bytes.writeUInt32BE(dataLength, 40)
  let at = HEADER_BYTES
  at += bytes.write(stream, at)
  at += bytes.write(event.type, at)
  if (flags & flag.occurred) at = writeShort(bytes, event.occurred as string, at)
  if (flags & flag.tags) {
    const tags = event.tags as readonly string[]
    bytes[at++] = tags.length
    for (const tag of tags) {
      const length = bytes.write(tag, at + 2)
      bytes.writeUInt16BE(length, at)
      at += 2 + length
    }
  }
  if (flags & flag.contentType) at = writeShort(bytes, event.contentType as string, at)
  if (event.data !== undefined) {
    bytes.set(event.data, at)
    at += dataLength
  }
  if (event.metadata !== undefined) bytes.set(event.metadata, at)
  return { bytes, payloadCrc: event.id === undefined ? undefined : crc32(bytes.subarray(PAYLOAD_AT)) }
}

function writeShort(bytes: Buffer, text: string, at: number): number {
  if (text.length > 255) throw new RangeError(`${text.length} characters do not fit`)
  bytes[at] = text.length
  return at + 1 + bytes.write(text, at + 1, 'latin1')
}

/**
 * Gives an encoded event its place, and an id when it has none. Sealing a record again, at another place, is allowed:
 * the commit before it may have failed.
 * @param log the 16 bytes of the log's identity
 * @returns the finished record, the same buffer
 */
export function sealRecord(
  record: UnplacedRecord,
  key: Buffer,
  place: { number: number; created: number },
  log: Buffer
): Buffer {
  const { bytes } = record
  bytes.writeUIntBE(place.created, CREATED_AT, 6)
  bytes.writeUIntBE(place.number, NUMBER_AT, 6)
  if (record.payloadCrc === undefined) writePlaceId(bytes, ID_AT, key, log)
  const payloadCrc = record.payloadCrc ?? crc32(bytes.subarray(PAYLOAD_AT))
  bytes.writeUInt32BE(sealCrc(bytes, key, payloadCrc), CRC_AT)
  return bytes
}

/**
 * A record whose event is gone, not yet placed: it keeps its stream and nothing else.
 * @param hash SHA-256 of the record that stood there, 32 bytes
 */
export function encodeRemoved(stream: string, hash?: Buffer): UnplacedRecord {
  if (hash !== undefined && hash.length !== HASH_BYTES)
    throw new RangeError(`a SHA-256 has 32 bytes, not ${hash.length}`)
  return encodeRecord(stream, {
    id: NO_ID,
    clientId: false,
    type: '',
    data: hash,
    kind: recordKind.removed
  })
}

/** As encodeRemoved, at its place in the log and in its stream. @returns the finished record */
export function removedRecord(
  key: Buffer,
  place: { stream: string; number: number; created: number },
  hash?: Buffer
): Buffer {
  return sealRecord(encodeRemoved(place.stream, hash), key, place, NO_ID)
}

const NO_ID = Buffer.alloc(16)

const sealScratch = Buffer.alloc(24)

/** Checksum of header fields and key on top of the payload's. */
function sealCrc(bytes: Buffer, key: Buffer, payloadCrc: number): number {
  bytes.copy(sealScratch, 0, 0, CRC_AT)
  bytes.copy(sealScratch, 4, CREATED_AT, PAYLOAD_AT)
  key.copy(sealScratch, 16)
  return crc32(sealScratch, payloadCrc)
}

/** True when the bytes are a record of this position, whole and unchanged. */
export function isIntact(position: number, bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES || bytes[0] !== RECORD_VERSION) return false
  return bytes.readUInt32BE(CRC_AT) === sealCrc(bytes, positionKey(position), crc32(bytes.subarray(PAYLOAD_AT)))
}

/**
 * A record as it stands in the log: a view over its bytes, each member read when asked for. Names ending in `Bytes`
 * give UTF-8 bytes as a latin1 string, one character a byte: pages are put together from such strings and written as
 * latin1, so no event's data is ever decoded and encoded again.
 */
export class StoredRecord {
  readonly position: number
  readonly bytes: Buffer
  readonly #flags: number

  constructor(position: number, bytes: Buffer) {
    this.position = position
    this.bytes = bytes
    this.#flags = bytes.readUInt16BE(2)
  }

  get removed(): boolean {
    return this.bytes[1] === recordKind.removed
  }
  get tombstone(): boolean {
    return this.bytes[1] === recordKind.tombstone
  }
  /** See RecordMark. */
  get mark(): RecordMark {
    const { bytes } = this
    return {
      version: bytes[0] as number,
      kind: kindNames[bytes[1] as number] as RecordKind,
      flags: this.#flags,
      crc: bytes.toString('hex', CRC_AT, CRC_AT + 4),
      hash:
        this.removed && this.#flags & flag.data
          ? bytes.toString('hex', this.#dataAt, this.#dataAt + HASH_BYTES)
          : undefined
    }
  }
  /** See EventContent. */
  get loose(): boolean {
    return (this.#flags & flag.loose) !== 0
  }
  get created(): number {
    return this.bytes.readUIntBE(CREATED_AT, 6)
  }
  get number(): number {
    return this.bytes.readUIntBE(NUMBER_AT, 6)
  }
  get id(): Buffer {
    return this.bytes.subarray(ID_AT, ID_AT + 16)
  }
  get idText(): string {
    return recordIdText(this.bytes)
  }
  get clientId(): boolean {
    return (this.#flags & flag.clientId) !== 0
  }
  get stream(): string {
    return this.bytes.toString('utf8', HEADER_BYTES, this.#typeAt)
  }
  get streamBytes(): string {
    return this.bytes.toString('latin1', HEADER_BYTES, this.#typeAt)
  }
  get type(): string {
    return this.bytes.toString('utf8', this.#typeAt, this.#extrasAt)
  }
  /** True for a type of ASCII letters, without making a string of the record's own. */
  hasType(type: string): boolean {
    return this.bytes.readUInt16BE(38) === type.length && this.typeBytes === type
  }
  get typeBytes(): string {
    return this.bytes.toString('latin1', this.#typeAt, this.#extrasAt)
  }
  get occurred(): string | undefined {
    return this.#flags & flag.occurred ? this.#short(this.#extrasAt) : undefined
  }
  get hasTags(): boolean {
    return (this.#flags & flag.tags) !== 0
  }
  get tags(): string[] {
    const tags: string[] = []
    if (!this.hasTags) return tags
    let at = this.#tagsAt
    let left = this.bytes[at++] as number
    while (left-- > 0) {
      const length = this.bytes.readUInt16BE(at)
      tags.push(this.bytes.toString('utf8', at + 2, at + 2 + length))
      at += 2 + length
    }
    return tags
  }
  get tagCount(): number {
    return this.hasTags ? (this.bytes[this.#tagsAt] as number) : 0
  }
  /** Absent: the data is JSON. */
  get contentType(): string | undefined {
    return this.#flags & flag.contentType ? this.#short(this.#contentTypeAt) : undefined
  }
  get data(): Buffer | undefined {
    if (!(this.#flags & flag.data) || this.removed) return undefined
    const at = this.#dataAt
    return this.bytes.subarray(at, at + this.bytes.readUInt32BE(40))
  }
  /** The data, when it is JSON in every form of an answer. */
  get document(): Buffer | undefined {
    return this.contentType === undefined && !this.loose ? this.data : undefined
  }
  get dataBytes(): string | undefined {
    if (!(this.#flags & flag.data) || this.removed) return undefined
    const at = this.#dataAt
    return this.bytes.toString('latin1', at, at + this.bytes.readUInt32BE(40))
  }
  get metadata(): Buffer | undefined {
    if (!(this.#flags & flag.metadata)) return undefined
    return this.bytes.subarray(this.#dataAt + this.bytes.readUInt32BE(40))
  }
  get metadataBytes(): string | undefined {
    if (!(this.#flags & flag.metadata)) return undefined
    return this.bytes.toString('latin1', this.#dataAt + this.bytes.readUInt32BE(40), this.bytes.length)
  }

  get #typeAt(): number {
    return HEADER_BYTES + this.bytes.readUInt16BE(36)
  }
  get #extrasAt(): number {
    return this.#typeAt + this.bytes.readUInt16BE(38)
  }
  get #tagsAt(): number {
    const at = this.#extrasAt
    return this.#flags & flag.occurred ? at + 1 + (this.bytes[at] as number) : at
  }
  get #contentTypeAt(): number {
    let at = this.#tagsAt
    if (this.#flags & flag.tags) {
      let left = this.bytes[at++] as number
      while (left-- > 0) at += 2 + this.bytes.readUInt16BE(at)
    }
    return at
  }
  get #dataAt(): number {
    const at = this.#contentTypeAt
    return this.#flags & flag.contentType ? at + 1 + (this.bytes[at] as number) : at
  }
  #short(at: number): string {
    return this.bytes.toString('latin1', at + 1, at + 1 + (this.bytes[at] as number))
  }
}

/** The event id in a record's bytes as text. */
export function recordIdText(bytes: Buffer): string {
  return dashed(bytes.toString('hex', ID_AT, ID_AT + 16))
}

/** True when two records hold the same event: stream, type, occurred, tags, content type, data and metadata. */
export function sameContent(one: Buffer, other: Buffer): boolean {
  const ignored = flag.clientId
  return (
    one.length === other.length &&
    (one.readUInt16BE(2) | ignored) === (other.readUInt16BE(2) | ignored) &&
    one.compare(other, 36, other.length, 36) === 0
  )
}

/**
 * True when an event is what a record says when it is printed and sent again: an import turns the `created` of an event
 * into its `occurred`, when it has none.
 */
export function sameAsPrinted(record: StoredRecord, sent: Buffer): boolean {
  const copy = new StoredRecord(record.position, sent)
  if (record.occurred !== undefined || copy.occurred !== new Date(record.created).toISOString()) return false
  const content = ({ stream, type, tags, contentType, loose, data, metadata }: StoredRecord) =>
    JSON.stringify([stream, type, tags, contentType, loose, data?.toString('latin1'), metadata?.toString('latin1')])
  return content(record) === content(copy)
}

/** The 16 bytes of a UUID's text, which the caller has checked to be one. */
export function idBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

/** The text of a UUID's 16 bytes. */
export function idText(id: Buffer): string {
  return dashed(id.toString('hex'))
}

function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

// ---------------------------------------------------------------------------------------------- ids with a place

/**
 * An id that the log makes says where its event stands, so it needs no entry in the index: a UUID of version 8
 * (RFC 9562 §5.8) whose first 48 bits are the position and whose other 74 free bits are those of the log's identity.
 *
 *   0  u48  position      6  version 8, then the low 4 bits of the identity's byte 6      7  its byte 7
 *   8  variant, then the low 6 bits of its byte 8                                         9  its bytes 9 to 15
 */
function writePlaceId(bytes: Buffer, at: number, key: Buffer, log: Buffer): void {
  // A loop: for so few bytes a copy costs more.
  for (let i = 0; i < 6; i++) bytes[at + i] = key[i + 2] as number
  for (let i = 6; i < 16; i++) bytes[at + i] = log[i] as number
  bytes[at + 6] = VERSION_8 | ((log[6] as number) & 0x0f)
  bytes[at + 8] = VARIANT | ((log[8] as number) & 0x3f)
}

const VERSION_8 = 0x80
const VARIANT = 0x80

/**
 * The position that an id names when it has the form of those that a log makes; undefined when it has not.
 * @param id its bytes begin at `at`
 * @param log the 16 bytes of that log's identity
 */
export function positionOfId(id: Buffer, log: Buffer, at = 0): number | undefined {
  if (id[at + 6] !== (VERSION_8 | ((log[6] as number) & 0x0f)) || id[at + 7] !== log[7]) return undefined
  if (id[at + 8] !== (VARIANT | ((log[8] as number) & 0x3f))) return undefined
  for (let i = 9; i < 16; i++) if (id[at + i] !== log[i]) return undefined
  return id.readUIntBE(at, 6)
}

/** As positionOfId, of the id of a record. */
export function positionOfRecordId({ bytes }: StoredRecord, log: Buffer): number | undefined {
  return positionOfId(bytes, log, ID_AT)
}

// ---------------------------------------------------------------------------------------------- keys of index/

/**
 * A family of posting lists: which events belong to a stream, a category, a type, a tag, a correlation id; which are
 * the first of a stream (one list under the empty name) or the first of a stream in a category; which streams have a
 * tombstone.
 */
export const family = {
  stream: 's',
  category: 'c',
  type: 't',
  tag: 'g',
  correlation: 'b',
  streams: 'a',
  categoryStreams: 'p',
  tombstone: 'd'
} as const
export type Family = (typeof family)[keyof typeof family]
export const families: readonly Family[] = Object.values(family)

/** Positions in a full block of a posting list. Fewer stand in the list's head. */
export const BLOCK_SIZE = 64

export function headKey(kind: Family, name: string): Buffer {
  return Buffer.from(`h${kind}${name}`)
}
/** The name in a head's key. */
export function headKeyName(key: Buffer): string {
  return key.toString('utf8', 2, key.length)
}

/** What the keys of all blocks of a family begin with. */
export function blockPrefix(kind: Family): Buffer {
  return Buffer.from(`b${kind}`)
}

export function blockKey(kind: Family, listId: number, block: number): Buffer {
  const key = Buffer.allocUnsafe(13)
  key[0] = 0x62
  key[1] = kind.charCodeAt(0)
  key.writeUIntBE(listId, 2, 6)
  key.writeUIntBE(block, 8, 5)
  return key
}

/** An entry of the index as it is stored: LevelDB does not check its tables, so each value carries a checksum. */
export function sealEntry(key: Buffer, value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + 4)
  value.copy(sealed)
  sealed.writeUInt32BE(crc32(value, crc32(key)), value.length)
  return sealed
}

/** True when the bytes are what was sealed under this key. */
function isSealed(key: Buffer, sealed: Buffer): boolean {
  const length = sealed.length - 4
  return length >= 0 && sealed.readUInt32BE(length) === crc32(sealed.subarray(0, length), crc32(key))
}

/** The value of a stored entry. @throws `index-damaged` when it is not what was written under this key */
export function openEntry(key: Buffer, sealed: Buffer): Buffer {
  if (isSealed(key, sealed)) return sealed.subarray(0, -4)
  throw new DaybookError('index-damaged', `The index is damaged at ${key.toString('hex')}: the checksum is wrong.`)
}

export const INDEX_STATE_KEY = Buffer.from('mstate')

/**
 * Head of a posting list: what a reader or writer needs first, in one value. The positions after the last full block
 * stand in the head itself, so most appends touch one index key.
 */
export interface ListHead {
  /** Names the list in block and id keys: the position of its first event, see listId. */
  readonly id: number
  /** Events in the list. For a stream, the last number is one less. */
  count: number
  /** `created` of the last event, milliseconds. */
  updated: number
  /** Positions of the last `count % BLOCK_SIZE` events. */
  tail: number[]
  /** How often the head was written, 1 to 255 and then 1 again; 0 when it never was. The table of lists knows it too. */
  version: number
}

const ID_ORDINAL = 2 ** 42

/**
 * Id of a list that begins with an event.
 * @param position of its first event, below 2^42
 * @param ordinal how many lists of the same family that event begins or extends before this one (several tags), below 64
 */
export function listId(position: number, ordinal: number): number {
  return position + ordinal * ID_ORDINAL
}

/** The position of a list's first event. */
export function firstPosition({ id }: ListHead): number {
  return id % ID_ORDINAL
}

/** The version after one, of a head or a page. 0 stands for "never written". */
export function nextVersion(version: number): number {
  return (version % 255) + 1
}

export function encodeHead(head: Omit<ListHead, 'version'>, version: number): Buffer {
  const bytes = Buffer.allocUnsafe(33 + head.tail.length * 8)
  bytes[0] = version
  let at = writeVarint(bytes, 1, head.id)
  at = writeVarint(bytes, at, head.count)
  at = writeVarint(bytes, at, head.updated)
  at = writePositions(bytes, at, head.tail)
  return bytes.subarray(0, at)
}

export function decodeHead(bytes: Buffer): ListHead {
  const reader = new VarintReader(bytes, 1)
  const id = reader.next()
  const count = reader.next()
  const updated = reader.next()
  return { id, count, updated, tail: reader.positions(count % BLOCK_SIZE), version: bytes[0] as number }
}

export function encodeBlock(positions: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(positions.length * 8)
  return bytes.subarray(0, writePositions(bytes, 0, positions))
}

export function decodeBlock(bytes: Buffer): number[] {
  return new VarintReader(bytes).positions(BLOCK_SIZE)
}

/**
 * The hash tables of the index. Their pages are numbered from 0 without a gap, and the version of each page is in memory:
 * every write of a page raises it by one. So a page is noticed that LevelDB does not find, or finds in an older version,
 * and "there is no such entry" can be believed.
 */
export const table = {
  /** Which lists there are, with the version of each head. */
  lists: 'l',
  /** Positions of the events whose ids do not name their position, by stream and id. */
  ids: 'i'
} as const
export type Table = (typeof table)[keyof typeof table]

/** Bytes of an entry: of the key's hash, and of what stands there for it (a version; a position). */
export const tableEntry = { l: { hash: 8, value: 1 }, i: { hash: 4, value: 6 } } as const

export function pageKey(kind: Table, page: number): Buffer {
  return tableKey('p', kind, page, 4)
}
/** @param write which write of the table it was, counted from 1 */
export function changedPagesKey(kind: Table, write: number): Buffer {
  return tableKey('c', kind, write, 6)
}
/** @param part of the versions, PAGE_VERSIONS_PART bytes each */
export function pageVersionsKey(kind: Table, write: number, part: number): Buffer {
  return Buffer.concat([tableKey('v', kind, write, 6), Buffer.from([part >> 8, part & 255])])
}
export const PAGE_VERSIONS_PART = 64 * 1024

function tableKey(what: string, kind: Table, number: number, bytes: number): Buffer {
  const key = Buffer.allocUnsafe(2 + bytes)
  key.write(what + kind, 'latin1')
  key.writeUIntBE(number, 2, bytes)
  return key
}

/** Page numbers, rising. */
export function encodePageNumbers(pages: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(5 * (pages.length + 1))
  return bytes.subarray(0, writePositions(bytes, writeVarint(bytes, 0, pages.length), pages))
}

export function decodePageNumbers(bytes: Buffer): number[] {
  const reader = new VarintReader(bytes)
  return reader.positions(reader.next())
}

/** Rising positions: the first, then differences. */
function writePositions(bytes: Buffer, at: number, positions: readonly number[]): number {
  let previous = 0
  for (const position of positions) {
    at = writeVarint(bytes, at, position - previous)
    previous = position
  }
  return at
}

// ---------------------------------------------------------------------------------------------- checkpoints/

/** Kinds of readers that have places: the first byte of their keys. No name begins with such a byte. Groups are reserved. */
const placeKind = { consumer: 1, group: 2 } as const
export type PlaceKind = keyof typeof placeKind

/** How far a named reader is. */
export interface Checkpoint {
  /** Everything up to here was dealt with; -1 before the first. A number or a position, as its source counts. */
  readonly cursor: number
  /** Rises with every reader that takes the name over; a reader that holds an older one moves nothing. */
  readonly generation: number
  /** When a client last read under this name, milliseconds. */
  readonly active: number
  /** Position of the definition that it belongs to; absent in format 1. */
  readonly defined?: number | undefined
  /** The last time that the place was put back because the log has lost its end. */
  readonly moved?: MovedPlace | undefined
}

export interface MovedPlace {
  /** Cursors. */
  readonly from: number
  readonly to: number
  /** For people. */
  readonly reason: string
  /** Milliseconds. */
  readonly at: number
}

/** A checkpoint, and the log that its cursor was read from as the log was when the checkpoint was saved. */
export interface StoredCheckpoint extends Checkpoint {
  readonly log: string
  readonly ancestors?: readonly Ancestor[] | undefined
  /** Position of the log's last record; absent in format 1. */
  readonly head?: number | undefined
}

export function checkpointKey(kind: PlaceKind, name: string): Buffer {
  return Buffer.from(`${String.fromCharCode(placeKind[kind])}${name}`)
}

/** True for a key of format 1, which is the name of a consumer alone. */
export function isCheckpointKeyOfFormat1(key: Buffer): boolean {
  return (key[0] as number) >= 0x20
}

export function encodeCheckpoint(key: Buffer, checkpoint: StoredCheckpoint): Buffer {
  return sealEntry(key, Buffer.from(JSON.stringify(checkpoint)))
}

/** @returns undefined when it cannot be read */
export function decodeCheckpoint(key: Buffer, sealed: Buffer): StoredCheckpoint | undefined {
  if (!isSealed(key, sealed)) return undefined
  return parseObject(sealed.subarray(0, -4)) as StoredCheckpoint | undefined
}

// ---------------------------------------------------------------------------------------------- numbers

/** Seven bits a byte, lowest first; exact up to 2^53. */
function writeVarint(bytes: Buffer, at: number, value: number): number {
  while (value > 0x7f) {
    bytes[at++] = (value % 128) | 0x80
    value = Math.floor(value / 128)
  }
  bytes[at++] = value
  return at
}

class VarintReader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  next(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.#bytes[this.#at++] as number
      if (byte < 0x80) return value + byte * scale
      value += (byte - 0x80) * scale
      scale *= 128
    }
  }

  positions(count: number): number[] {
    const positions: number[] = []
    let position = 0
    for (let i = 0; i < count; i++) positions.push((position += this.next()))
    return positions
  }
}
