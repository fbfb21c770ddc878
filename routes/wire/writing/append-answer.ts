/** Responses of appends (native contract §3). */
import { recordIdText, StoredRecord } from '../../../src/log/format.js'
import type { AppendResult } from '../../../src/writing/plan/plan-append.js'
import type { PlacedEvent } from '../../../src/writing/plan/planning-view.js'
import { instantText, renderEvent } from '../reading/recorded-event.js'

export type Return = 'default' | 'minimal' | 'representation'

/** Returns the value of `Prefer: return=…` (RFC 7240). */
export function preferredReturn(prefer: string | undefined): Return {
  if (prefer === undefined) return 'default'
  const value = /(?:^|[,\s])return=(minimal|representation)\b/.exec(prefer)?.[1]
  return (value as Return | undefined) ?? 'default'
}

/** Returns the response of an append to one stream, one byte per character. */
export function renderStreamAppend(stream: string, result: AppendResult, wanted: Return): string {
  return `{"stream":${json(stream)},"head":${result.heads.get(stream)},"position":${lastPosition(result)},"replayed":${result.replayed}${renderEvents(result, wanted, false)}}`
}

/** Returns the response of an append to several streams, one byte per character. */
export function renderEventsAppend(result: AppendResult, wanted: Return): string {
  const heads = json(Object.fromEntries(result.heads))
  return `{"position":${lastPosition(result)},"replayed":${result.replayed},"heads":${heads}${renderEvents(result, wanted, true)}}`
}

function lastPosition({ events }: AppendResult): number {
  return (events[events.length - 1] as PlacedEvent).position
}

function renderEvents({ events }: AppendResult, wanted: Return, withStream: boolean): string {
  if (wanted === 'minimal') return ''
  let text = ',"events":['
  for (let i = 0; i < events.length; i++) {
    const placed = events[i] as PlacedEvent
    if (i > 0) text += ','
    if (wanted === 'representation' && !placed.replayed) {
      text += renderEvent({
        record: new StoredRecord(placed.position, placed.event.record.bytes),
        cursor: withStream ? placed.position : placed.number
      })
      continue
    }
    const stream = withStream ? `,"stream":${json(placed.event.stream)}` : ''
    text += `{"id":"${recordIdText(placed.event.record.bytes)}"${stream},"number":${placed.number},"position":${placed.position},"created":"${instantText(placed.created)}"}`
  }
  return `${text}]`
}

function json(value: unknown): string {
  const text = JSON.stringify(value)
  return /[^\x00-\x7f]/.test(text) ? Buffer.from(text).toString('latin1') : text
}
