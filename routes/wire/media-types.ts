/** Content negotiation: the format that a request asks for (native contract §2 and §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../src/errors.js'

export const mediaTypes = {
  page: 'application/json; charset=utf-8',
  event: 'application/json; charset=utf-8',
  ndjson: 'application/x-ndjson; charset=utf-8',
  sse: 'text/event-stream; charset=utf-8'
} as const
export type Format = keyof typeof mediaTypes

/** Media types that ask for a format, in the order of preference when several are equally good. */
const ASKED: readonly (readonly [string, Format])[] = [
  ['application/json', 'page'],
  ['application/vnd.daybook.page+json', 'page'],
  ['application/vnd.daybook.event+json', 'event'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['text/event-stream', 'sse']
]

const AVAILABLE = 'application/json, application/vnd.daybook.page+json, application/x-ndjson, text/event-stream'
const LIVE = 'application/x-ndjson, text/event-stream'

/**
 * The format of a read of many events.
 * @param live whether the read goes on with new events, which no page can show
 * @throws `not-acceptable` when there is none
 */
export function readFormat(
  headers: IncomingHttpHeaders,
  format: string | undefined,
  live: boolean | undefined
): 'page' | 'ndjson' | 'sse' {
  const asked = format ?? fromAccept(headers.accept, live ? 'ndjson' : 'page')
  if (asked === 'ndjson' || asked === 'sse' || (asked === 'page' && !live)) return asked
  const available = live ? LIVE : AVAILABLE
  throw new DaybookError('not-acceptable', `This address${live ? ', live,' : ''} answers as ${available}.`, {
    available: available.split(', ')
  })
}

/** The format of a single event. @throws `not-acceptable` */
export function eventFormat(headers: IncomingHttpHeaders, format: string | undefined): void {
  const asked = format ?? fromAccept(headers.accept, 'event')
  if (asked === 'event' || asked === 'page') return
  throw new DaybookError(
    'not-acceptable',
    'One event answers as application/json or application/vnd.daybook.event+json.',
    {
      available: ['application/json', 'application/vnd.daybook.event+json']
    }
  )
}

export function notYet(what: string): DaybookError {
  return new DaybookError('not-implemented', `${what} is not there in this version.`)
}

function fromAccept(accept: string | undefined, preferred: Format): Format | undefined {
  if (accept === undefined || accept === '' || accept === '*/*') return preferred
  if (accept === 'application/json' && preferred !== 'ndjson') return preferred
  let best: Format | undefined
  let quality = 0
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const q = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1)
    if (!(q > quality)) continue
    const found = type === '*/*' || type === 'application/*' ? preferred : ASKED.find(([name]) => name === type)?.[1]
    if (found === undefined) continue
    best = found
    quality = q
  }
  return best
}

/** The media type of a `Content-Type`, in lower case and without parameters; empty when there is none. */
export function mediaType(header: string | undefined): string {
  return (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** True for the names under which clients send NDJSON. */
export function isNdjson(type: string): boolean {
  return type === 'application/x-ndjson' || type === 'application/ndjson' || type === 'application/jsonl'
}
