/** An entry of a feed: an event, or a link with its target (reference 7.5, 8.5). */

import type { Viewer } from '../../../../src/access/viewer.js'
import { DaybookError } from '../../../../src/errors.js'
import { correlationOf } from '../../../../src/index/index-entries.js'
import { bytesOf } from '../../../../src/latin1.js'
import { limits } from '../../../../src/limits.js'
import { type Family, family, type StoredRecord } from '../../../../src/log/format.js'
import { linkText } from '../../../../src/reading/link-targets.js'
import type { ReadMemory } from '../../../../src/reading/read-memory.js'
import type { Reader } from '../../../../src/reading/reader.js'
import type { Source } from '../../../../src/reading/source.js'
import { LINK_TYPE, parseLink, STREAM_REFERENCE_TYPE } from '../../../../src/streams/links.js'
import { nameBasedId } from '../../../../src/streams/name-based-id.js'
import { type ShownEvent, showRecord } from './shown-event.js'

export interface FeedEntry {
  /** The event to show; undefined for a link without a readable target. */
  readonly event: ShownEvent | undefined
  /** The link that led to the event; undefined without one. */
  readonly link: LinkShown | undefined
  /** The entry's own position: its stream and its number there. */
  readonly positionStreamBytes: string
  readonly positionNumber: string
}

interface LinkShown {
  /** The stream of the target. */
  readonly streamBytes: string
  readonly number: string
  readonly created: number
  readonly metadataBytes: string
}

/** Records of a source to show. */
export interface ShownRecords {
  readonly source: Source
  readonly records: readonly StoredRecord[]
  /** Number of the first record. Used for index streams only. */
  readonly number: number
  /** True to show the targets of links instead of the links. */
  readonly resolve: boolean
  /** Events that the viewer may not read are omitted. Undefined for a caller who may read all events. */
  readonly viewer: Viewer | undefined
  /** Reserves the memory for the targets of links. */
  readonly memory: ReadMemory
}

/**
 * Returns the entries of records, in the same order.
 * @throws `page-too-large` when the targets of links have more than `page_bytes_max` bytes in total
 */
export async function entriesOf(reader: Reader, shown: ShownRecords): Promise<FeedEntry[]> {
  const { source, records, resolve } = shown
  const targets = new Targets(reader, shown)
  if (source.index) return indexEntries(reader, shown)
  const entries: FeedEntry[] = []
  for (const record of records) {
    if (record.removed) continue
    const own = showRecord(record)
    const target = resolve ? await targets.of(record) : undefined
    const link = target === undefined ? undefined : linkOf(record, own)
    const event = target === 'gone' ? undefined : target === undefined ? own : showRecord(target)
    entries.push({ event, link, positionStreamBytes: own.streamBytes, positionNumber: own.number })
  }
  return entries
}

/** Reads the targets of a page's links, and limits their total size: small links may have large targets. */
class Targets {
  readonly #reader: Reader
  readonly #shown: Pick<ShownRecords, 'viewer' | 'memory'>
  #bytes = 0

  constructor(reader: Reader, shown: Pick<ShownRecords, 'viewer' | 'memory'>) {
    this.#reader = reader
    this.#shown = shown
  }

  /** Returns the same as `LinkTargets.of`. @throws `page-too-large` */
  async of(record: StoredRecord): Promise<StoredRecord | 'gone' | undefined> {
    const { viewer, memory } = this.#shown
    const target = await this.#reader.links.of(record, viewer, memory)
    if (target === undefined || target === 'gone') return target
    this.#bytes += target.bytes.length
    await memory.need(this.#bytes)
    if (this.#bytes <= limits.page_bytes_max) return target
    throw new DaybookError(
      'page-too-large',
      `The targets of these links have more than ${limits.page_bytes_max} bytes. Request a smaller page.`,
      { limit: limits.page_bytes_max }
    )
  }
}

function linkOf(record: StoredRecord, own: ShownEvent): LinkShown {
  const text = linkText(record)
  const { stream, number } = parseLink(text) as { stream: string; number: number }
  const digits = text.slice(0, text.indexOf('@')).trim()
  return {
    streamBytes: bytesOf(stream),
    number: Number.isSafeInteger(number) ? String(number) : digits,
    created: own.created,
    metadataBytes: own.metadataBytes
  }
}

/** Returns the entries of an index stream: links to the listed events, or stream names for an index of streams. */
async function indexEntries(reader: Reader, shown: ShownRecords): Promise<FeedEntry[]> {
  const {
    source: { stream, kind },
    records,
    number,
    resolve,
    viewer
  } = shown
  const targets = new Targets(reader, shown)
  const name = bytesOf(stream as string)
  const read = await viewer?.seen(records)
  const seen = resolve ? await reader.seen(records, { truncated: false, viewer: undefined }) : undefined
  const entries: FeedEntry[] = []
  for (const [i, record] of records.entries()) {
    if (read?.[i] === false) continue
    const positionNumber = String(number + i)
    const place = { positionStreamBytes: name, positionNumber }
    if (kind === family.categoryStreams || !resolve) {
      entries.push({ event: indexEvent(kind as Family, name, positionNumber, record), link: undefined, ...place })
      continue
    }
    const listed = showRecord(record)
    // A listed event may itself be a link. The entry then has the same target.
    const target = await targets.of(record)
    const link =
      target === undefined ? { streamBytes: listed.streamBytes, number: listed.number } : linkOf(record, listed)
    const hidden = record.removed || target === 'gone' || seen?.[i] === false
    const event = hidden ? undefined : target === undefined ? listed : showRecord(target as StoredRecord)
    const metadataBytes = causeOf(record)
    entries.push({ event, link: { ...link, created: record.created, metadataBytes }, ...place })
  }
  return entries
}

/** Returns the event that EventStoreDB would have written to its stream for this index entry. */
function indexEvent(kind: Family, streamBytes: string, number: string, record: StoredRecord): ShownEvent {
  const reference = kind === family.categoryStreams
  const text = reference
    ? record.streamBytes
    : record.hasType(LINK_TYPE)
      ? bytesOf(linkText(record))
      : `${showRecord(record).number}@${record.streamBytes}`
  return virtualEvent(streamBytes, number, record.created, {
    typeBytes: reference ? STREAM_REFERENCE_TYPE : LINK_TYPE,
    dataBytes: text,
    isJson: false,
    metadataBytes: causeOf(record)
  })
}

/** Returns the metadata of a link: the id of the event that caused it, and that event's correlation id. */
function causeOf(record: StoredRecord): string {
  const correlation = correlationOf(record)
  const more = correlation === undefined ? '' : `,"$correlationId":${JSON.stringify(bytesOf(correlation))}`
  return `{"$causedBy":"${record.idText}"${more}}`
}

/** Returns an event that is not in the log. Its id is derived from stream and number, so that it never changes. */
export function virtualEvent(
  streamBytes: string,
  number: string,
  created: number,
  content: Pick<ShownEvent, 'typeBytes' | 'dataBytes' | 'isJson' | 'metadataBytes'>
): ShownEvent {
  const id = nameBasedId(VIRTUAL_IDS, `${streamBytes}\n${number}`).toString('hex')
  return {
    id: id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'),
    streamBytes,
    number,
    created,
    ...content,
    octets: Buffer.from(content.dataBytes, 'latin1'),
    isLink: content.typeBytes === LINK_TYPE
  }
}

const VIRTUAL_IDS = Buffer.from('9e0b3a5d4c7f4e1b8a6d2f0c5b9e7a13', 'hex')
