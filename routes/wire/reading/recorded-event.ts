/**
 * Recorded events on the wire (native contract §1). The text is latin1, one byte per character: it contains the UTF-8
 * bytes of the record unchanged.
 */
import { isUtf8 } from 'node:buffer'
import type { ReadResult } from '../../../src/reading/event-read.js'
import type { Redelivery } from '../../../src/subscriptions/connection.js'

/**
 * Returns the event as one line of JSON.
 * @param redelivery set in reads for a consumer, to which the event may have been sent before
 */
export function renderEvent(found: ReadResult, redelivery?: Redelivery): string {
  const retryCount = redelivery?.retryCount(found.cursor) ?? 0
  return `${eventMembers(found)}${retryCount > 0 ? `,"retryCount":${retryCount}` : ''}}`
}

/**
 * Returns the event as renderEvent does, plus `record`, so that an import can reproduce the record. For a removed event
 * it returns only `stream`, `number`, `position`, `cursor`, `created` and `record`. Text whose JSON form is more than
 * twice as long is written in base64, so that an import can limit the length of its lines.
 */
export function renderRecord(found: ReadResult): string {
  const { record, cursor } = found
  const { version, kind, flags, crc, hash } = record.mark
  const members = record.removed
    ? `{"stream":${quoteName(record.streamBytes)},"number":${record.number},"position":${record.position},"cursor":"${cursor}","created":"${instantText(record.created)}"`
    : eventMembers(found, 2)
  const erased = hash === undefined ? '' : `,"hash":"${hash}"`
  return `${members},"record":{"version":${version},"kind":"${kind}","flags":${flags},"crc":"${crc}"${erased}}}`
}

/** @param growth maximum length of the JSON form of text, as a multiple of the text; longer text becomes base64 */
function eventMembers({ record, cursor, link }: ReadResult, growth = Infinity): string {
  const { number, position } = record
  let text = `{"id":"${record.idText}","type":${quoteName(record.typeBytes)},"stream":${quoteName(record.streamBytes)},"number":${number},"position":${position},"cursor":"${cursor}","created":"${instantText(record.created)}"`
  const { occurred, contentType } = record
  if (occurred !== undefined) text += `,"occurred":"${occurred}"`
  if (record.hasTags) text += `,"tags":${Buffer.from(JSON.stringify(record.tags)).toString('latin1')}`
  if (contentType !== undefined) text += renderBytes(contentType, record.data as Buffer, growth)
  else {
    const data = record.dataBytes
    if (data !== undefined) text += `,"data":${data}`
  }
  const metadata = record.metadataBytes
  if (metadata !== undefined) text += `,"metadata":${metadata}`
  if (link !== undefined) {
    const stream = Buffer.from(JSON.stringify(link.stream)).toString('latin1')
    text += `,"link":{"stream":${stream},"number":${link.number}}`
  }
  return text
}

function renderBytes(contentType: string, data: Buffer, growth: number): string {
  const text = isUtf8(data) ? Buffer.from(JSON.stringify(data.toString())) : undefined
  const asText = text !== undefined && text.length - 2 <= data.length * growth
  const content = asText ? `"dataText":${text.toString('latin1')}` : `"dataBase64":"${data.toString('base64')}"`
  return `,"contentType":${quoteName(contentType)},${content}`
}

/** Returns a name as a JSON string. Names have no control characters, so only `"` and `\` need escaping. */
function quoteName(name: string): string {
  return /["\\]/.test(name) ? JSON.stringify(name) : `"${name}"`
}

const DAY_MS = 86_400_000
const TWO = Array.from({ length: 100 }, (_, n) => String(n).padStart(2, '0'))
let lastDay = Number.NaN
let lastDate = ''
let lastInstant = Number.NaN
let lastText = ''

/**
 * Returns `created` as text (RFC 3339, UTC). Every event has one, and Date formats it slowly. So the last result is
 * cached for the events of one commit, and the date for those of one day; only the time of day is formatted here.
 */
export function instantText(created: number): string {
  if (created === lastInstant) return lastText
  const day = Math.floor(created / DAY_MS)
  if (day !== lastDay) {
    lastDay = day
    lastDate = new Date(day * DAY_MS).toISOString().slice(0, 11)
  }
  const rest = created - day * DAY_MS
  const second = Math.floor(rest / 1000)
  const minute = Math.floor(second / 60)
  const ms = rest % 1000
  lastInstant = created
  lastText = `${lastDate}${TWO[Math.floor(minute / 60)]}:${TWO[minute % 60]}:${TWO[second % 60]}.${ms < 100 ? '0' : ''}${ms < 10 ? '0' : ''}${ms}Z`
  return lastText
}
