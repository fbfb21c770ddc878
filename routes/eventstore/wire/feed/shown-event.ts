/**
 * An event in the form of the dialect (reference 5.2, 8): with a JSON flag, and its data as text. Members named
 * `…Bytes` are UTF-8 bytes in a string of one character per byte, as everywhere in wire code.
 */
import { isUtf8 } from 'node:buffer'
import type { StoredRecord } from '../../../../src/log/format.js'
import { LINK_TYPE } from '../../../../src/streams/links.js'

export interface ShownEvent {
  readonly id: string
  readonly typeBytes: string
  readonly streamBytes: string
  readonly number: string
  /** Milliseconds since the epoch. */
  readonly created: number
  readonly isJson: boolean
  /** Empty for an event without data. */
  readonly dataBytes: string
  readonly metadataBytes: string
  /** The data as the client sent it. */
  readonly octets: Buffer
  readonly isLink: boolean
}

/** The event number of tombstones in the dialect. */
const TOMBSTONE_NUMBER = '9223372036854775807'

export function showRecord(record: StoredRecord): ShownEvent {
  return new ShownRecord(record)
}

/** Computes members on first use: a feed without bodies needs only a few. */
class ShownRecord implements ShownEvent {
  readonly #record: StoredRecord
  #metadata: string | undefined
  #data: string | undefined

  constructor(record: StoredRecord) {
    this.#record = record
  }

  get id(): string {
    return this.#record.idText
  }
  get typeBytes(): string {
    return this.#record.typeBytes
  }
  get streamBytes(): string {
    return this.#record.streamBytes
  }
  get number(): string {
    return this.#record.tombstone ? TOMBSTONE_NUMBER : String(this.#record.number)
  }
  get created(): number {
    return this.#record.created
  }
  get isLink(): boolean {
    return this.#record.hasType(LINK_TYPE)
  }

  get isJson(): boolean {
    const { contentType, loose, tombstone } = this.#record
    if (contentType !== undefined || tombstone) return false
    return loose ? isObjectOrArray(this.metadataBytes) : true
  }

  get dataBytes(): string {
    this.#data ??= this.#readData()
    return this.#data
  }

  #readData(): string {
    const { contentType, loose } = this.#record
    if (contentType !== undefined) return utf8BytesOf(this.#record.data)
    const data = this.#record.dataBytes ?? ''
    return loose ? looseText(data) : data
  }

  get metadataBytes(): string {
    this.#metadata ??= looseText(this.#record.metadataBytes ?? '')
    return this.#metadata
  }

  get octets(): Buffer {
    const { contentType, loose, data } = this.#record
    if (data === undefined) return NOTHING
    return contentType === undefined && loose ? Buffer.from(this.dataBytes, 'latin1') : data
  }
}

const NOTHING = Buffer.alloc(0)

/** Returns data as UTF-8 bytes, with replacement characters for invalid bytes. */
function utf8BytesOf(data: Buffer | undefined): string {
  if (data === undefined) return ''
  return isUtf8(data) ? data.toString('latin1') : Buffer.from(data.toString('utf8')).toString('latin1')
}

/** Returns the text of a JSON string, objects and arrays unchanged, and an empty text for other scalars. */
function looseText(json: string): string {
  if (isObjectOrArray(json) || json === '') return json
  if (!json.startsWith('"')) return ''
  const text = JSON.parse(Buffer.from(json, 'latin1').toString()) as string
  return Buffer.from(text).toString('latin1')
}

/** Returns true for the text of a JSON object or array. */
function isObjectOrArray(json: string): boolean {
  return json.startsWith('{') || json.startsWith('[')
}
