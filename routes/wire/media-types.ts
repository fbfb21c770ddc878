/** Which representation a request asks for (native contract §2 and §9). */
import type { IncomingHttpHeaders } from 'node:http'
import { DaybookError } from '../../src/errors.js'

export const mediaTypes = {
  page: 'application/json; charset=utf-8',
  event: 'application/json; charset=utf-8',
  ndjson: 'application/x-ndjson; charset=utf-8'
} as const
export type Format = keyof typeof mediaTypes

/** Media types that ask for a format, in the order of preference when several are equally good. */
const ASKED: readonly (readonly [string, Format | 'sse'])[] = [
  ['application/json', 'page'],
  ['application/vnd.daybook.page+json', 'page'],
  ['application/vnd.daybook.event+json', 'event'],
  ['application/x-ndjson', 'ndjson'],
  ['application/ndjson', 'ndjson'],
  ['application/jsonl', 'ndjson'],
  ['text/event-stream', 'sse']
]

const AVAILABLE = 'application/json, application/vnd.daybook.page+json, application/x-ndjson'

/**
 * The format of a read of many events.
 * @throws `not-acceptable` when there is none, `not-implemented` for live forms
 */
export function readFormat(headers: IncomingHttpHeaders, format: string | undefined): 'page' | 'ndjson' {
  const asked = format ?? fromAccept(headers.accept, 'page')
  if (asked === 'sse' || headers.upgrade?.toLowerCase() === 'websocket') throw notYet('Live reading')
  if (asked === 'page' || asked === 'ndjson') return asked
  throw new DaybookError('not-acceptable', `This address answers as ${AVAILABLE}.`, {
    available: AVAILABLE.split(', ')
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

function fromAccept(accept: string | undefined, preferred: Format): Format | 'sse' | undefined {
  if (accept === undefined || accept === '' || accept === '*/*' || accept === 'application/json') return preferred
  let best: Format | 'sse' | undefined
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
