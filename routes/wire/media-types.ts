/** Content negotiation: the format that a request asks for (native contract §2 and §9). */
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

/** The formats in which events go on as they come, by the media types that ask for them. */
const LINES = [
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson']
] as const
const EVENT_STREAM = ['text/event-stream', 'sse'] as const

// Whoever asks for HTML where there is none gets JSON, which browsers show. Before the event stream, so that text/* is
// not answered without end.
const manyForms = new AcceptedForms<Format>([
  ['application/json', 'page'],
  [PAGE, 'page'],
  ...LINES,
  ['text/html', 'page'],
  EVENT_STREAM
])
const liveForms = new AcceptedForms<'ndjson' | 'sse'>([...LINES, EVENT_STREAM])

/** The media types that only the native form has, by what is read. */
export const nativeTypes = {
  feed: [PAGE, ...LINES.map(([type]) => type)],
  event: [EVENT],
  metadata: [METADATA]
} as const

const AVAILABLE = `application/json, ${PAGE}, application/x-ndjson, text/event-stream`
const LIVE = 'application/x-ndjson, text/event-stream'

/**
 * The format of a read of many events.
 * @param goesOn whether the read goes on with new events, which no page can show
 * @throws `not-acceptable` when there is none
 */
export function readFormat(
  headers: IncomingHttpHeaders,
  format: string | undefined,
  goesOn: boolean | undefined
): Format {
  const asked = format ?? (goesOn ? liveForms : manyForms).preferred(headers.accept)
  if (asked === 'ndjson' || asked === 'sse' || (asked === 'page' && !goesOn)) return asked
  const available = goesOn ? LIVE : AVAILABLE
  throw new DaybookError('not-acceptable', `This address${goesOn ? ', live,' : ''} answers as ${available}.`, {
    available: available.split(', ')
  })
}

const eventForms = documentForms(EVENT)
const metadataForms = documentForms(METADATA)

/** The content type of an answer with one event: the name under which it was asked for. @throws `not-acceptable` */
export function eventContentType(headers: IncomingHttpHeaders, format: string | undefined): string {
  if (format === 'event' || format === 'page') return JSON_TYPE
  const type = format === undefined ? eventForms.preferred(headers.accept) : undefined
  if (type !== undefined) return type
  throw new DaybookError('not-acceptable', `One event answers as application/json or ${EVENT}.`, {
    available: ['application/json', EVENT]
  })
}

/** The content type of an answer with the metadata of a stream. @throws `not-acceptable` */
export function metadataContentType(headers: IncomingHttpHeaders): string {
  const type = metadataForms.preferred(headers.accept)
  if (type !== undefined) return type
  throw new DaybookError('not-acceptable', `Metadata answers as application/json or ${METADATA}.`, {
    available: ['application/json', METADATA]
  })
}

/** The content types of a document that is JSON, and has a name of its own. */
function documentForms(type: string): AcceptedForms<string> {
  return new AcceptedForms([
    ['application/json', JSON_TYPE],
    [type, `${type}; charset=utf-8`],
    ['text/html', JSON_TYPE]
  ])
}

export function notYet(what: string): DaybookError {
  return new DaybookError('not-implemented', `${what} is not there in this version.`)
}

/** The media type of a `Content-Type`, in lower case and without parameters; empty when there is none. */
export function mediaType(header: string | undefined): string {
  return (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** True for the names under which clients send NDJSON. */
export function isNdjson(type: string): boolean {
  return type === 'application/x-ndjson' || type === 'application/ndjson' || type === 'application/jsonl'
}
