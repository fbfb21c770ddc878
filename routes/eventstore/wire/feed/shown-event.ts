/**
 * An event as the dialect shows it (reference 5.2, 8): JSON or not, with its data as text. Strings ending in `Bytes`
 * are UTF-8 bytes, one character a byte, as everywhere on the wire.
 */
import { isUtf8 } from 'node:buffer'
import type { StoredRecord } from '../../../../src/log/format.js'
import { LINK_TYPE } from '../../../../src/streams/links.js'

export interface ShownEvent {
  readonly id: string
  readonly typeBytes: string
  readonly streamBytes: string
  readonly number: string
  /** Milliseconds. */
  readonly created: number
  readonly isJson: boolean
  /** Empty when there is none. */
  readonly dataBytes: string
  readonly metadataBytes: string
  /** The data as it was sent. */
  readonly octets: Buffer
  readonly isLink: boolean
}

/** The number that a tombstone has in this dialect. */
const TOMBSTONE_NUMBER = '9223372036854775807'

export function showRecord(record: StoredRecord): ShownEvent {
  return new ShownRecord(record)
}

/** A record whose members are made on first use: a feed without bodies needs few. */
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

/** Bytes that are not UTF-8 become replacement characters. */
function utf8BytesOf(data: Buffer | undefined): string {
  if (data === undefined) return ''
  return isUtf8(data) ? data.toString('latin1') : Buffer.from(data.toString('utf8')).toString('latin1')
}

/** A JSON string as its text, an object or an array as it is, another scalar as nothing. */
function looseText(json: string): string {
  if (isObjectOrArray(json) || json === '') return json
  if (!json.startsWith('"')) return ''
  const text = JSON.parse(Buffer.from(json, 'latin1').toString()) as string
  return Buffer.from(text).toString('latin1')
}

/** True for the text of a JSON object or array. */
function isObjectOrArray(json: string): boolean {
  return json.startsWith('{') || json.startsWith('[')
}
