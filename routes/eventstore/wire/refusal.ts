/** How the dialect says no: a status, a reason phrase, a line of text (reference 1.2, 1.3). */
import { type DaybookError, isDaybookError } from '../../../src/errors.js'

export interface RefusalDetails {
  /** Text of the body. */
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Without a content type: nothing of the request was looked at beyond its headers. */
  readonly bare?: boolean
  /** When it is not what follows from the body. */
  readonly contentType?: string
}

/** Thrown where a request of the dialect is refused; answered as it says. */
export class Refusal extends Error {
  readonly status: number
  readonly reason: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly contentType: string | undefined

  constructor(
    status: number,
    reason: string,
    { body = '', headers = {}, bare = false, contentType }: RefusalDetails = {}
  ) {
    super(reason)
    this.status = status
    this.reason = reason
    this.body = body
    this.headers = headers
    this.contentType = contentType ?? (bare ? undefined : body === '' ? 'text/plain; charset=utf-8' : 'text/plain')
  }
}

/** A request that makes no sense: 400, with the reason as its body. */
export function badRequest(message: string): Refusal {
  return new Refusal(400, 'Bad Request', { body: message })
}

/** A header that cannot be read (reference 2). */
export function badHeader(name: string): Refusal {
  return badRequest(`${name} header in wrong format.`)
}

/** What an operation of the core was refused for, in the dialect's words. */
export function asRefusal(error: unknown, operation: 'read' | 'write'): Refusal {
  if (error instanceof Refusal) return error
  if (!isDaybookError(error)) throw error
  switch (error.code) {
    case 'stream-not-found':
    case 'event-not-found':
    case 'event-removed':
      return new Refusal(404, 'Not Found')
    case 'stream-deleted':
      return new Refusal(410, operation === 'read' ? 'Deleted' : 'Stream deleted')
    case 'wrong-expected-version':
      return wrongExpectedVersion((error.details.head as number | null) ?? -1)
    case 'event-too-large':
    case 'body-too-large':
    case 'batch-too-large':
      return new Refusal(413, 'Too large events received. Limit is 4mb', { body: error.message })
    case 'overloaded':
      return new Refusal(503, 'Server Is Too Busy', { headers: { 'retry-after': '1' } })
    case 'starting':
    case 'stopping':
      return new Refusal(503, 'Server Is Not Ready', { headers: { 'retry-after': '1' } })
    case 'unsupported-media-type':
      return new Refusal(415, 'Invalid or missing Content-Type', { bare: true })
    default:
      if (CLIENT_FAULTS.has(error.code)) return badRequest(error.message)
      throw error
  }
}

/** Codes that say the request is wrong; all others are answered as problems, in every form. */
const CLIENT_FAULTS = new Set<DaybookError['code']>([
  'malformed-json',
  'invalid-utf8',
  'invalid-body',
  'empty-batch',
  'invalid-event',
  'invalid-metadata',
  'bad-event-id',
  'bad-tag',
  'bad-stream-name',
  'bad-condition',
  'bad-header',
  'bad-encoding',
  'bad-expression',
  'bad-parameter',
  'missing-event-type',
  'page-too-large',
  'partial-replay'
])

/** @param head number of the stream's last event, -1 when it has none */
export function wrongExpectedVersion(head: number): Refusal {
  return new Refusal(400, 'Wrong expected EventNumber', { headers: { 'es-currentversion': String(head) } })
}
