/**
 * The whole on-disk format: every key and value of the three LevelDB databases. A change of any of them requires a new
 * FORMAT_VERSION and a migration. docs/storage-format.md explains the format in prose.
 *
 * u8 … u64  unsigned integer of that many bits, big-endian
 * varint    unsigned integer, 7 bits a byte, lowest bits first
 * family    1 ASCII character, see family
 * table     1 ASCII character, see table
 * name      UTF-8, to the end of the key
 * crc       u32, CRC-32 of the key, then of the value before it
 *
 * log/          the source of truth
 *   key                                  value
 *   0x00                                 log meta: JSON { format, log, ancestors, unreadable? }, crc
 *                                        (format 1: JSON { format, log }, without a crc)
 *   position u64                         record, see "records" below
 *
 * index/        derived from the log and written after it
 *   key                                  value
 *   "h" family name                      head of a posting list: version u8; id, count, updated, each a varint;
 *                                        the last `count % BLOCK_SIZE` positions; crc
 *   "b" family listId u48 block u40      full block of a posting list: BLOCK_SIZE positions; crc
 *   "p" table page u32                   page of a hash table: version u8, entries (see tableEntry); crc
 *   "c" table write u48                  pages that this write of the table changed: count varint, page numbers; crc
 *   "v" table write u48 part u16         versions of all pages after this write: u8 a page, PAGE_VERSIONS_PART
 *                                        pages a part; crc
 *   "mstate"                             state of the index: JSON, see IndexState in index-state.ts; crc
 *
 *   Positions and page numbers are stored in rising order: the first as a varint, each further one as a varint of its
 *   difference to the one before.
 *
 * checkpoints/  the cursors of named consumers; no other data depends on them
 *   key                                  value
 *   kind u8 name                         checkpoint: JSON { log, ancestors?, head, cursor, generation, active,
 *                                        defined?, moved? }, crc
 *   name                                 format 1 only: JSON { log, cursor, generation, active }, crc
 */
import { crc32 } from 'node:zlib'
import { DaybookError } from '../errors.js'

/** Version of keys and values. A directory of format 1 is migrated when it is opened; a newer format is refused. */
export const FORMAT_VERSION = 2

// ---------------------------------------------------------------------------------------------- keys of log/

/**
 * Returns the key of the record at a position: u64.
 * @param position integer from 0, below 2^53
 * @param key buffer of 8 bytes to write the key into; default: a new one
 */
export function positionKey(position: number, key: Buffer = Buffer.allocUnsafe(8)): Buffer {
  key.writeUInt32BE(Math.floor(position / 0x1_0000_0000), 0)
  key.writeUInt32BE(position >>> 0, 4)
  return key
}

/** Returns the position in the key of a record. */
export function keyPosition(key: Buffer): number {
  return key.readUInt32BE(0) * 0x1_0000_0000 + key.readUInt32BE(4)
}

/**
 * Key of the log meta. It sorts before the keys of all records. If it sorted after them, the table with the meta would
 * overlap every later table, and LevelDB would rewrite tables that it can otherwise move between levels.
 */
export const LOG_META_KEY = Buffer.from([0])
export const FIRST_RECORD_KEY = positionKey(0)

// ---------------------------------------------------------------------------------------------- log meta

/** An earlier identity of the log. The log gets a new identity when records were lost, or may have been lost. */
export interface Ancestor {
  /** UUID. */
  readonly log: string
  /** Last position at which the ancestor and its successor hold the same event; -1: they share no event. */
  readonly upTo: number
}

export interface LogMeta {
  /** Format version on disk. */
  readonly format: number
  /** Identity of the log, a UUID. */
  readonly log: string
  /** Oldest first. */
  readonly ancestors: readonly Ancestor[]
  /**
   * Positions whose loss an operator has accepted, as rising ranges [first, last]. A start tolerates unreadable records
   * at these positions.
   */
  readonly unreadable?: readonly (readonly [number, number])[]
}

/** Returns the value of LOG_META_KEY in the current format. */
export function encodeLogMeta({ log, ancestors, unreadable = [] }: Omit<LogMeta, 'format'>): Buffer {
  const lost = unreadable.length === 0 ? {} : { unreadable }
  return sealEntry(LOG_META_KEY, Buffer.from(JSON.stringify({ format: FORMAT_VERSION, log, ancestors, ...lost })))
}

/**
 * Decodes the value of LOG_META_KEY, in format 1 or the current one.
 * @throws DaybookError `format-unknown` when the format is newer; `log-damaged` when the checksum or the content is
 * wrong
 */
export function decodeLogMeta(stored: Buffer): LogMeta {
  const sealed = isSealed(LOG_META_KEY, stored)
  const meta = parseObject(sealed ? stored.subarray(0, -4) : stored)
  const { format, log, ancestors, unreadable = [] } = meta ?? {}
  if (typeof format === 'number' && Number.isInteger(format) && format > FORMAT_VERSION) {
    throw new DaybookError(
      'format-unknown',
      `the directory has format ${format}; this Daybook reads formats up to ${FORMAT_VERSION}: use a newer version`
    )
  }
  if (format === 1 && !sealed && isIdentity(log)) return { format, log, ancestors: [] }
  if (format === FORMAT_VERSION && sealed && isIdentity(log) && isAncestry(ancestors) && areRanges(unreadable)) {
    return { format, log, ancestors, ...(unreadable.length > 0 && { unreadable }) }
  }
  throw new DaybookError('log-damaged', 'the meta of the log cannot be read: its checksum or its content is wrong')
}

const IDENTITY = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/

/** True for a UUID in lower case, the form of a log identity. */
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
 * Layout of a record, the value of a position in log/. Lengths are in bytes.
 *
 *   at  size     field
 *    0  u8       record version, 1
 *    1  u8       kind, see recordKind
 *    2  u16      flags, see flag
 *    4  u32      checksum, see below
 *    8  u48      created: milliseconds since 1970
 *   14  u48      number of the event in its stream, from 0
 *   20  16       event id
 *   36  u16      length of the stream name
 *   38  u16      length of the type
 *   40  u32      length of the data
 *   44           stream name, UTF-8
 *                type, UTF-8
 *                occurred       if flag.occurred:    u8 length, ASCII
 *                tags           if flag.tags:        u8 count; for each tag u16 length, UTF-8
 *                content type   if flag.contentType: u8 length, ASCII; otherwise the data is JSON
 *                data           if flag.data
 *                metadata       if flag.metadata:    to the end of the record
 *
 * The checksum is the CRC-32 of the bytes from 20 to the end, then bytes 0 to 3, then bytes 8 to 19, then the key. It
 * covers the key so that a record stored under the wrong position is detected. It takes the number, `created` and the
 * key last, so that the long part can be computed before the record gets its position.
 */
const RECORD_VERSION = 1
const HEADER_BYTES = 44
const CRC_AT = 4
const CREATED_AT = 8
const NUMBER_AT = 14
const ID_AT = 20
/** The payload begins here: the bytes that are final when an event is encoded, except an id that the log generates. */
const PAYLOAD_AT = 20
const STREAM_LENGTH_AT = 36
const TYPE_LENGTH_AT = 38
const DATA_LENGTH_AT = 40
const HASH_BYTES = 32

/**
 * `event`: an event. `removed`: the event was erased; the data, if present, is the SHA-256 of the erased record and is
 * never returned as event data. `tombstone`: the last event of a stream that was deleted permanently.
 */
export const recordKind = { event: 0, removed: 1, tombstone: 2 } as const
export type RecordKind = keyof typeof recordKind
const kindNames = Object.keys(recordKind) as RecordKind[]

/** Bits of the flags. `occurred` to `metadata`: the record has that field. `clientId` and `loose`: see EventContent. */
const flag = { occurred: 1, tags: 2, contentType: 4, data: 8, metadata: 16, clientId: 32, loose: 64 } as const

/**
 * The fields of a record that its printed event does not show. Event and mark together restore the record byte for
 * byte. Exports contain the mark, so changing it changes the on-disk format.
 */
export interface RecordMark {
  /** Record version. */
  readonly version: number
  readonly kind: RecordKind
  /** The 16 bits on disk. The bits of optional fields can be derived from the event. */
  readonly flags: number
  /** Checksum of the record, 8 hexadecimal digits. */
  readonly crc: string
  /** For a removed record: SHA-256 of the record that it replaced, 64 hexadecimal digits. */
  readonly hash?: string | undefined
}

/** Returns the two flags that cannot be derived from a printed event. */
export function readFlags(flags: number): Pick<EventContent, 'clientId' | 'loose'> {
  return { clientId: (flags & flag.clientId) !== 0, loose: (flags & flag.loose) !== 0 }
}

/** An event before the log assigns its position. */
export interface EventContent {
  /** 16 bytes. Absent: the log generates the id when it assigns the position. */
  id?: Buffer | undefined
  /** True when the client sent the id, or the idempotency key from which the id was derived. */
  clientId: boolean
  type: string
  /** Date-time of RFC 3339, as the client sent it. */
  occurred?: string | undefined
  tags?: readonly string[] | undefined
  /** Media type of the data. Absent: JSON. */
  contentType?: string | undefined
  /**
   * True when the event came through EventStoreDB's HTTP API, in which only objects and arrays count as JSON data
   * (reference 5.2), and its data is not one of these. The data is stored as JSON. Readers of that API get a string as
   * its text and no data for any other scalar.
   */
  loose?: boolean | undefined
  data?: Buffer | undefined
  metadata?: Buffer | undefined
  kind?: (typeof recordKind)[keyof typeof recordKind] | undefined
}

/**
 * An encoded event without a position: the bytes of its record, in which the number, `created` and the checksum are
 * still missing. Encoding happens when the request arrives, while an earlier commit runs, so that `sealRecord`, which
 * runs during the commit, only writes a few bytes.
 */
export interface UnplacedRecord {
  readonly bytes: Buffer
  /** CRC-32 of the bytes from PAYLOAD_AT on. Absent when the event has no id yet, because it covers the id. */
  readonly payloadCrc: number | undefined
}

/**
 * Encodes an event for a stream. The caller must have checked every length against limits.ts.
 * @throws RangeError when the id does not have 16 bytes, or `occurred` or the content type has more than 255 characters
 */
export function encodeRecord(stream: string, event: EventContent): UnplacedRecord {
  if (event.id !== undefined && event.id.length !== 16) {
    throw new RangeError(`the event id has ${event.id.length} bytes; it must have 16`)
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
  bytes.writeUInt16BE(streamLength, STREAM_LENGTH_AT)
  bytes.writeUInt16BE(typeLength, TYPE_LENGTH_AT)
  bytes.writeUInt32BE(dataLength, DATA_LENGTH_AT)
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

/** Writes an ASCII text after its u8 length. @returns the offset after it */
function writeShort(bytes: Buffer, text: string, at: number): number {
  if (text.length > 255) throw new RangeError(`the text has ${text.length} characters; it must have at most 255`)
  bytes[at] = text.length
  return at + 1 + bytes.write(text, at + 1, 'latin1')
}

/**
 * Completes a record: writes its number, `created` and checksum, and generates its id when it has none. A record may be
 * sealed again for another position, because an earlier commit of it may have failed.
 * @param key of the record's position
 * @param place the event's number in its stream, and `created` in milliseconds
 * @param log identity of the log, 16 bytes
 * @returns the bytes of the record, in the same buffer
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
 * Encodes a record whose event was erased. It keeps only the stream name: the id is 16 zero bytes, the type is empty.
 * @param hash SHA-256 of the erased record, 32 bytes
 * @throws RangeError when the hash does not have 32 bytes
 */
export function encodeRemoved(stream: string, hash?: Buffer): UnplacedRecord {
  if (hash !== undefined && hash.length !== HASH_BYTES)
    throw new RangeError(`the SHA-256 has ${hash.length} bytes; it must have ${HASH_BYTES}`)
  return encodeRecord(stream, {
    id: NO_ID,
    clientId: false,
    type: '',
    data: hash,
    kind: recordKind.removed
  })
}

/** Returns the complete record of an erased event: as `encodeRemoved`, and sealed for its position. */
export function removedRecord(
  key: Buffer,
  place: { stream: string; number: number; created: number },
  hash?: Buffer
): Buffer {
  return sealRecord(encodeRemoved(place.stream, hash), key, place, NO_ID)
}

const NO_ID = Buffer.alloc(16)

const sealScratch = Buffer.alloc(24)

/** Returns the checksum of a record: extends the checksum of its payload by its other header fields and its key. */
function sealCrc(bytes: Buffer, key: Buffer, payloadCrc: number): number {
  bytes.copy(sealScratch, 0, 0, CRC_AT)
  bytes.copy(sealScratch, 4, CREATED_AT, PAYLOAD_AT)
  key.copy(sealScratch, 16)
  return crc32(sealScratch, payloadCrc)
}

/** True when the bytes are the complete, undamaged record of this position. */
export function isIntact(position: number, bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES || bytes[0] !== RECORD_VERSION) return false
  return bytes.readUInt32BE(CRC_AT) === sealCrc(bytes, positionKey(position), crc32(bytes.subarray(PAYLOAD_AT)))
}

/**
 * A record of the log: a view over its bytes that decodes each field on access. Getters ending in `Bytes` return UTF-8
 * bytes as a latin1 string, one character a byte. Responses are built from such strings and written as latin1, so that
 * the data of an event is never decoded and encoded again.
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
  /** Milliseconds since 1970. */
  get created(): number {
    return this.bytes.readUIntBE(CREATED_AT, 6)
  }
  /** Number of the event in its stream, from 0. */
  get number(): number {
    return this.bytes.readUIntBE(NUMBER_AT, 6)
  }
  /** The event id, 16 bytes. */
  get id(): Buffer {
    return this.bytes.subarray(ID_AT, ID_AT + 16)
  }
  /** The event id as the text of a UUID. */
  get idText(): string {
    return recordIdText(this.bytes)
  }
  /** See EventContent. */
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
  /** True when the event has this type. Compares the length first, which avoids decoding. @param type ASCII only */
  hasType(type: string): boolean {
    return this.bytes.readUInt16BE(TYPE_LENGTH_AT) === type.length && this.typeBytes === type
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
  /** Media type of the data; undefined: JSON. */
  get contentType(): string | undefined {
    return this.#flags & flag.contentType ? this.#short(this.#contentTypeAt) : undefined
  }
  /** The data; undefined when the event has none or was removed. */
  get data(): Buffer | undefined {
    if (!(this.#flags & flag.data) || this.removed) return undefined
    const at = this.#dataAt
    return this.bytes.subarray(at, at + this.bytes.readUInt32BE(DATA_LENGTH_AT))
  }
  /** The data if it counts as JSON in every API, EventStoreDB's too; otherwise undefined. */
  get document(): Buffer | undefined {
    return this.contentType === undefined && !this.loose ? this.data : undefined
  }
  get dataBytes(): string | undefined {
    if (!(this.#flags & flag.data) || this.removed) return undefined
    const at = this.#dataAt
    return this.bytes.toString('latin1', at, at + this.bytes.readUInt32BE(DATA_LENGTH_AT))
  }
  get metadata(): Buffer | undefined {
    if (!(this.#flags & flag.metadata)) return undefined
    return this.bytes.subarray(this.#dataAt + this.bytes.readUInt32BE(DATA_LENGTH_AT))
  }
  get metadataBytes(): string | undefined {
    if (!(this.#flags & flag.metadata)) return undefined
    return this.bytes.toString('latin1', this.#dataAt + this.bytes.readUInt32BE(DATA_LENGTH_AT), this.bytes.length)
  }

  get #typeAt(): number {
    return HEADER_BYTES + this.bytes.readUInt16BE(STREAM_LENGTH_AT)
  }
  get #extrasAt(): number {
    return this.#typeAt + this.bytes.readUInt16BE(TYPE_LENGTH_AT)
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
  /** Reads an ASCII text after its u8 length. */
  #short(at: number): string {
    return this.bytes.toString('latin1', at + 1, at + 1 + (this.bytes[at] as number))
  }
}

/** Returns the event id of a record as the text of a UUID. @param bytes of the record */
export function recordIdText(bytes: Buffer): string {
  return dashed(bytes.toString('hex', ID_AT, ID_AT + 16))
}

/**
 * True when two records hold the same event: stream, type, occurred, tags, content type, data and metadata. Ignores id,
 * number, `created` and whether the client sent the id.
 */
export function sameContent(one: Buffer, other: Buffer): boolean {
  const ignored = flag.clientId
  return (
    one.length === other.length &&
    (one.readUInt16BE(2) | ignored) === (other.readUInt16BE(2) | ignored) &&
    one.compare(other, STREAM_LENGTH_AT, other.length, STREAM_LENGTH_AT) === 0
  )
}

/**
 * True when an event equals a stored record that was exported and sent again. Only for a record without `occurred`: an
 * import then sets `occurred` to the record's `created`, so `sameContent` would find a difference.
 * @param sent bytes of the record of the event that was sent
 */
export function sameAsPrinted(record: StoredRecord, sent: Buffer): boolean {
  const copy = new StoredRecord(record.position, sent)
  if (record.occurred !== undefined || copy.occurred !== new Date(record.created).toISOString()) return false
  const content = ({ stream, type, tags, contentType, loose, data, metadata }: StoredRecord) =>
    JSON.stringify([stream, type, tags, contentType, loose, data?.toString('latin1'), metadata?.toString('latin1')])
  return content(record) === content(copy)
}

/** Returns the 16 bytes of a UUID. @param uuid text that the caller has checked */
export function idBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex')
}

/** Returns the text of a UUID. @param id its 16 bytes */
export function idText(id: Buffer): string {
  return dashed(id.toString('hex'))
}

function dashed(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

// ---------------------------------------------------------------------------------------------- ids with a position

/**
 * Writes an id that the log generates. It contains the position of its event, so it needs no entry in the index. It is
 * a UUID of version 8 (RFC 9562 §5.8): 48 bits of position and 74 bits of the log's identity.
 *
 *   at  size  field
 *    0  u48   position
 *    6  u8    high 4 bits: version, 8; low 4 bits: from byte 6 of the identity
 *    7  1     byte 7 of the identity
 *    8  u8    high 2 bits: variant, 0b10; low 6 bits: from byte 8 of the identity
 *    9  7     bytes 9 to 15 of the identity
 *
 * @param at offset in `bytes` @param key of the position @param log identity of the log, 16 bytes
 */
function writePlaceId(bytes: Buffer, at: number, key: Buffer, log: Buffer): void {
  // For so few bytes a loop is faster than Buffer.copy.
  for (let i = 0; i < 6; i++) bytes[at + i] = key[i + 2] as number
  for (let i = 6; i < 16; i++) bytes[at + i] = log[i] as number
  bytes[at + 6] = VERSION_8 | ((log[6] as number) & 0x0f)
  bytes[at + 8] = VARIANT | ((log[8] as number) & 0x3f)
}

const VERSION_8 = 0x80
const VARIANT = 0x80

/**
 * Returns the position in an id that the log with this identity generated; undefined for any other id.
 * @param id buffer in which the id begins at `at`
 * @param log identity of the log, 16 bytes
 */
export function positionOfId(id: Buffer, log: Buffer, at = 0): number | undefined {
  if (id[at + 6] !== (VERSION_8 | ((log[6] as number) & 0x0f)) || id[at + 7] !== log[7]) return undefined
  if (id[at + 8] !== (VARIANT | ((log[8] as number) & 0x3f))) return undefined
  for (let i = 9; i < 16; i++) if (id[at + i] !== log[i]) return undefined
  return id.readUIntBE(at, 6)
}

/** As `positionOfId`, for the id of a record. */
export function positionOfRecordId({ bytes }: StoredRecord, log: Buffer): number | undefined {
  return positionOfId(bytes, log, ID_AT)
}

// ---------------------------------------------------------------------------------------------- keys of index/

/** Families of posting lists. A list holds rising positions of events. Its name is unique in its family. */
export const family = {
  /** The events of a stream. Name: the stream. */
  stream: 's',
  /** The events of all streams of a category. Name: the category. */
  category: 'c',
  /** Name: the event type. */
  type: 't',
  /** Name: the tag. */
  tag: 'g',
  /** Name: the correlation id. */
  correlation: 'b',
  /** The first event of each stream. One list, with an empty name. */
  streams: 'a',
  /** The first event of each stream of a category. Name: the category. */
  categoryStreams: 'p',
  /** The tombstone of a stream. Name: the stream. */
  tombstone: 'd'
} as const
export type Family = (typeof family)[keyof typeof family]
export const families: readonly Family[] = Object.values(family)

/** Positions in a full block of a posting list. The positions after the last full block are in the head of the list. */
export const BLOCK_SIZE = 64

/** Returns the key of a head: "h", family, name. */
export function headKey(kind: Family, name: string): Buffer {
  return Buffer.from(`h${kind}${name}`)
}
/** Returns the name in the key of a head. */
export function headKeyName(key: Buffer): string {
  return key.toString('utf8', 2, key.length)
}

/** Returns the common prefix of the keys of all blocks of a family: "b", family. */
export function blockPrefix(kind: Family): Buffer {
  return Buffer.from(`b${kind}`)
}

/** Returns the key of a block: "b", family, list id u48, block u40. @param block index in the list, from 0 */
export function blockKey(kind: Family, listId: number, block: number): Buffer {
  const key = Buffer.allocUnsafe(13)
  key[0] = 0x62 // "b"
  key[1] = kind.charCodeAt(0)
  key.writeUIntBE(listId, 2, 6)
  key.writeUIntBE(block, 8, 5)
  return key
}

/** Returns a value as it is stored: value, then u32 CRC-32 of key and value. LevelDB does not check its tables. */
export function sealEntry(key: Buffer, value: Buffer): Buffer {
  const sealed = Buffer.allocUnsafe(value.length + 4)
  value.copy(sealed)
  sealed.writeUInt32BE(crc32(value, crc32(key)), value.length)
  return sealed
}

/** True when the checksum at the end of a stored value matches its key and its content. */
function isSealed(key: Buffer, sealed: Buffer): boolean {
  const length = sealed.length - 4
  return length >= 0 && sealed.readUInt32BE(length) === crc32(sealed.subarray(0, length), crc32(key))
}

/** Returns the value that `sealEntry` sealed. @throws DaybookError `index-damaged` when the checksum is wrong */
export function openEntry(key: Buffer, sealed: Buffer): Buffer {
  if (isSealed(key, sealed)) return sealed.subarray(0, -4)
  throw new DaybookError('index-damaged', `The index is damaged at ${key.toString('hex')}: the checksum is wrong.`)
}

export const INDEX_STATE_KEY = Buffer.from('mstate')

/**
 * Head of a posting list, its only value besides the full blocks. The head holds the positions after the last full
 * block, so most appends change one key of the index.
 */
export interface ListHead {
  /** Identifies the list in the keys of its blocks and in table `ids`. See `listId`. */
  readonly id: number
  /** Number of events in the list. For a stream, the number of its last event is `count - 1`. */
  count: number
  /** `created` of the last event, milliseconds. */
  updated: number
  /** Positions of the last `count % BLOCK_SIZE` events. */
  tail: number[]
  /**
   * Raised by each write of the head: 1 to 255, then 1 again; 0: never written. Table `lists` holds it too, so that an
   * outdated head is detected.
   */
  version: number
}

const ID_ORDINAL = 2 ** 42

/**
 * Returns the id of a new list, a u48: position + ordinal · 2^42.
 * @param position of the first event of the list, below 2^42
 * @param ordinal number of earlier lists of the same family to which that event belongs (it may have several tags),
 * below 64
 */
export function listId(position: number, ordinal: number): number {
  return position + ordinal * ID_ORDINAL
}

/** Returns the position of the first event of a list. */
export function firstPosition({ id }: ListHead): number {
  return id % ID_ORDINAL
}

/** Returns the version that follows, of a head or a page: 1 to 255, then 1 again. 0 means "never written". */
export function nextVersion(version: number): number {
  return (version % 255) + 1
}

/** Encodes a head: version u8; id, count, updated, each a varint; the positions of the tail. */
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

/** Encodes a full block. @param positions BLOCK_SIZE positions, rising */
export function encodeBlock(positions: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(positions.length * 8)
  return bytes.subarray(0, writePositions(bytes, 0, positions))
}

export function decodeBlock(bytes: Buffer): number[] {
  return new VarintReader(bytes).positions(BLOCK_SIZE)
}

/**
 * The hash tables of the index. Pages are numbered from 0 without gaps. The versions of all pages are in memory, and
 * each write of a page raises its version (see `nextVersion`). A page that LevelDB has lost, or returns in an older
 * version, is therefore detected, and "not found" in a table is reliable.
 */
export const table = {
  /** An entry for each posting list: the version of its head. Hashed text: family, FamilyState.emptied, ":", name. */
  lists: 'l',
  /**
   * An entry for each event whose id does not contain its position: that position. Hashed text: id of the stream's
   * list, ":", event id (a character a byte).
   */
  ids: 'i'
} as const
export type Table = (typeof table)[keyof typeof table]

/**
 * Layout of an entry in a page, by table. `hash`: so many bytes, the first of the SHA-1 of TableState.secret and the
 * hashed text. `value`: so many bytes, the version of the head (u8) or the position (u48).
 */
export const tableEntry = { l: { hash: 8, value: 1 }, i: { hash: 4, value: 6 } } as const

/** Returns the key of a page: "p", table, page u32. */
export function pageKey(kind: Table, page: number): Buffer {
  return tableKey('p', kind, page, 4)
}
/** Returns the key of the pages changed by a write: "c", table, write u48. @param write number of the write, from 1 */
export function changedPagesKey(kind: Table, write: number): Buffer {
  return tableKey('c', kind, write, 6)
}
/** Returns the key of the page versions after a write: "v", table, write u48, part u16. @param part from 0 */
export function pageVersionsKey(kind: Table, write: number, part: number): Buffer {
  return Buffer.concat([tableKey('v', kind, write, 6), Buffer.from([part >> 8, part & 255])])
}
/** Page versions in one value, a byte each. Only the last part may have fewer. */
export const PAGE_VERSIONS_PART = 64 * 1024

/** Returns a key: prefix, table, then the number in that many bytes. */
function tableKey(prefix: string, kind: Table, number: number, bytes: number): Buffer {
  const key = Buffer.allocUnsafe(2 + bytes)
  key.write(prefix + kind, 'latin1')
  key.writeUIntBE(number, 2, bytes)
  return key
}

/** Encodes the value of `changedPagesKey`: count varint, then the page numbers. @param pages rising */
export function encodePageNumbers(pages: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(5 * (pages.length + 1))
  return bytes.subarray(0, writePositions(bytes, writeVarint(bytes, 0, pages.length), pages))
}

export function decodePageNumbers(bytes: Buffer): number[] {
  const reader = new VarintReader(bytes)
  return reader.positions(reader.next())
}

/** Writes rising numbers as varints: the first, then the differences. @returns the offset after them */
function writePositions(bytes: Buffer, at: number, positions: readonly number[]): number {
  let previous = 0
  for (const position of positions) {
    at = writeVarint(bytes, at, position - previous)
    previous = position
  }
  return at
}

// ---------------------------------------------------------------------------------------------- checkpoints/

/**
 * Kinds of checkpoints, the first byte of their keys. Names begin with a byte of 0x20 or more, so keys of format 1,
 * which have no kind, can be told apart. `group` is reserved.
 */
const placeKind = { consumer: 1, group: 2 } as const
export type PlaceKind = keyof typeof placeKind

/** The progress of a named consumer. */
export interface Checkpoint {
  /**
   * Last acknowledged event; -1: none. The number of an event if the source is a stream, otherwise a position of the
   * log.
   */
  readonly cursor: number
  /** Raised by each new connection and each moved cursor. Acknowledgements with another generation are refused. */
  readonly generation: number
  /** When a client last read as this consumer, milliseconds since 1970. */
  readonly active: number
  /** Position of the event that defines the consumer; absent in format 1. */
  readonly defined?: number | undefined
  /** The last time that the cursor was moved back because the log had lost its end. */
  readonly moved?: MovedPlace | undefined
}

export interface MovedPlace {
  /** Cursor before. */
  readonly from: number
  /** Cursor after. */
  readonly to: number
  /** A text for the operator. */
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly at: number
}

/** A checkpoint as it is stored: with the identity and the head that the log had when the checkpoint was saved. */
export interface StoredCheckpoint extends Checkpoint {
  readonly log: string
  /** Absent when the log has no ancestors, and in format 1. */
  readonly ancestors?: readonly Ancestor[] | undefined
  /** Position of the log's last record; absent in format 1. */
  readonly head?: number | undefined
}

/** Returns the key of a checkpoint: kind u8, name. */
export function checkpointKey(kind: PlaceKind, name: string): Buffer {
  return Buffer.from(`${String.fromCharCode(placeKind[kind])}${name}`)
}

/** True for a key of format 1, which is the name of a consumer without a kind. */
export function isCheckpointKeyOfFormat1(key: Buffer): boolean {
  return (key[0] as number) >= 0x20
}

/** Encodes a checkpoint: JSON, then the checksum of key and JSON. */
export function encodeCheckpoint(key: Buffer, checkpoint: StoredCheckpoint): Buffer {
  return sealEntry(key, Buffer.from(JSON.stringify(checkpoint)))
}

/** Decodes a checkpoint. @returns undefined when the checksum is wrong or the content is no JSON object */
export function decodeCheckpoint(key: Buffer, sealed: Buffer): StoredCheckpoint | undefined {
  if (!isSealed(key, sealed)) return undefined
  return parseObject(sealed.subarray(0, -4)) as StoredCheckpoint | undefined
}

// ---------------------------------------------------------------------------------------------- numbers

/** Writes a varint: 7 bits a byte, lowest bits first, the high bit set in all bytes but the last. Exact below 2^53. */
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
