/** The formats of responses, and their selection by `Accept` and `format` (native contract §2 and §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../src/errors.js'
import { AcceptedForms } from './accept.js'

const JSON_TYPE = 'application/json; charset=utf-8'

export const mediaTypes = {
  page: JSON_TYPE,
  ndjson: 'application/x-ndjson; charset=utf-8',
  sse: 'text/event-stream; charset=utf-8'
} as const
export type Format = keyof typeof mediaTypes

const PAGE = 'application/vnd.daybook.page+json'
const EVENT = 'application/vnd.daybook.event+json'
const METADATA = 'application/vnd.daybook.metadata+json'

/** The formats of live reads, by media type. */
const LINES = [
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson']
] as const
const EVENT_STREAM = ['text/event-stream', 'sse'] as const

// text/html selects JSON, which browsers can show. It precedes text/event-stream, so that `text/*` does not start an
// endless response.
const manyForms = new AcceptedForms<Format>([
  ['application/json', 'page'],
  [PAGE, 'page'],
  ...LINES,
  ['text/html', 'page'],
  EVENT_STREAM
])
const liveForms = new AcceptedForms<'ndjson' | 'sse'>([...LINES, EVENT_STREAM])

/** The media types that always select the native form instead of EventStoreDB's, by kind of read. */
export const nativeTypes = {
  feed: [PAGE, ...LINES.map(([type]) => type)],
  event: [EVENT],
  metadata: [METADATA]
} as const

const AVAILABLE = `application/json, ${PAGE}, application/x-ndjson, text/event-stream`
const LIVE = 'application/x-ndjson, text/event-stream'

/**
 * Returns the format of a read of many events.
 * @param format the query parameter `format`; overrides `Accept`
 * @param isLive whether the read continues with new events, which a page cannot do
 * @throws `not-acceptable` if no format fits
 */
export function readFormat(
  headers: IncomingHttpHeaders,
  format: string | undefined,
  isLive: boolean | undefined
): Format {
  const requested = format ?? (isLive ? liveForms : manyForms).preferred(headers.accept)
  if (requested === 'ndjson' || requested === 'sse' || (requested === 'page' && !isLive)) return requested
  const available = isLive ? LIVE : AVAILABLE
  throw new DaybookError(
    'not-acceptable',
    `"Accept" or "format" allows no format of this ${isLive ? 'live read' : 'address'}. It has ${available}.`,
    {
      available: available.split(', ')
    }
  )
}

const eventForms = documentForms(EVENT)
const metadataForms = documentForms(METADATA)

/** Returns the content type of a response with one event: the requested media type. @throws `not-acceptable` */
export function eventContentType(headers: IncomingHttpHeaders, format: string | undefined): string {
  if (format === 'event' || format === 'page') return JSON_TYPE
  const type = format === undefined ? eventForms.preferred(headers.accept) : undefined
  if (type !== undefined) return type
  throw new DaybookError('not-acceptable', `The formats of an event are application/json and ${EVENT}.`, {
    available: ['application/json', EVENT]
  })
}

/** Returns the content type of a response with the metadata of a stream. @throws `not-acceptable` */
export function metadataContentType(headers: IncomingHttpHeaders): string {
  const type = metadataForms.preferred(headers.accept)
  if (type !== undefined) return type
  throw new DaybookError('not-acceptable', `The formats of stream metadata are application/json and ${METADATA}.`, {
    available: ['application/json', METADATA]
  })
}

/** The forms of a JSON document that also has a media type of its own. */
function documentForms(type: string): AcceptedForms<string> {
  return new AcceptedForms([
    ['application/json', JSON_TYPE],
    [type, `${type}; charset=utf-8`],
    ['text/html', JSON_TYPE]
  ])
}

export function notYet(what: string): DaybookError {
  return new DaybookError('not-implemented', `${what} is not implemented in this version.`)
}

/** Returns the media type of a `Content-Type` header in lower case, without parameters; empty without a header. */
export function mediaType(header: string | undefined): string {
  return (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** True for each media type that clients use for NDJSON. */
export function isNdjson(type: string): boolean {
  return type === 'application/x-ndjson' || type === 'application/ndjson' || type === 'application/jsonl'
}
