/** Error responses of the dialect: a status, a reason phrase and a line of text (reference 1.2, 1.3). */
import { type DaybookError, isDaybookError } from '../../../src/errors.js'

export interface RefusalDetails {
  /** The response body. */
  readonly body?: string
  readonly headers?: Readonly<Record<string, string>>
  /** True for a response without a content type, as EventStoreDB sends it when it has read only the headers. */
  readonly bare?: boolean
  /** Overrides the content type that is derived from the body. */
  readonly contentType?: string
}

/** Thrown to refuse a request of the dialect. Describes the response. */
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

/** Returns a 400 with the message as its body. */
export function badRequest(message: string): Refusal {
  return new Refusal(400, 'Bad Request', { body: message })
}

/** Returns a 400 for an invalid header (reference 2). */
export function badHeader(name: string): Refusal {
  return badRequest(`${name} header in wrong format.`)
}

/** Converts an error of the store to a refusal of the dialect. @throws an error that has no form in the dialect */
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

/** Codes of invalid requests. Errors with other codes are sent as problems, also in the dialect. */
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

/** Returns a 400 with the stream's version. @param head number of the last event; -1 for a stream without events */
export function wrongExpectedVersion(head: number): Refusal {
  return new Refusal(400, 'Wrong expected EventNumber', { headers: { 'es-currentversion': String(head) } })
}
