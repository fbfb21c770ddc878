/** Sends errors as problem responses: errors of routes and hooks, and errors of requests that never reach a route. */
import type { Duplex } from 'node:stream'
import type { ErrorObject } from 'ajv/dist/2020.js'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { DaybookError, type ErrorCode, isDaybookError } from '../../src/errors.js'
import { limits } from '../../src/limits.js'
import { isDialectClient } from '../eventstore/wire/form.js'
import { Refusal } from '../eventstore/wire/refusal.js'
import { sendRefusal } from '../eventstore/wire/send.js'
import { AcceptedForms } from '../wire/accept.js'
import { isWrite, outcomeMembers, outcomeOf } from '../wire/problems/outcome.js'
import { problemKinds, problemOf } from '../wire/problems/problem.js'
import { refusedQuery } from '../wire/problems/query-faults.js'
import { currentResponse } from './connections/current-response.js'

const CLIENT_ERRORS: Record<string, ErrorCode> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'request-timeout',
  HPE_HEADER_OVERFLOW: 'headers-too-large'
}

/** Error codes for the errors that Fastify itself throws. */
const FRAMEWORK_ERRORS: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported-media-type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad-request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-json',
  FST_ERR_BAD_URL: 'bad-request',
  FST_ERR_MAX_PARAM_LENGTH: 'uri-too-long',
  FST_ERR_ASYNC_CONSTRAINT: 'bad-request'
}

function asDaybookError(error: Error, bodyMax: number): DaybookError {
  if (isDaybookError(error)) return error
  const { validation, validationContext, code = '', statusCode } = error as FastifyError
  if (validation !== undefined && validation.length > 0) {
    return refusedQuery(validation as ErrorObject[], validationContext)
  }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    const limit = bodyMax
    return new DaybookError(
      'body-too-large',
      `The body is larger than ${limit} bytes, the limit of this route.`,
      { limit },
      error
    )
  }
  const known = FRAMEWORK_ERRORS[code]
  if (known !== undefined) return new DaybookError(known, error.message, {}, error)
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return new DaybookError('bad-request', error.message, {}, error)
  return new DaybookError('internal', error.message, {}, error)
}

/** Reason phrases of the Atom dialect for requests that are refused before their handler runs. */
const BARE: Partial<Record<ErrorCode, string>> = {
  'not-found': 'Not Found',
  'method-not-allowed': 'Method Not Allowed',
  'unsupported-media-type': 'Invalid or missing Content-Type',
  starting: 'Server Is Not Ready',
  stopping: 'Server Is Not Ready'
}

/** Paths that exist in EventStoreDB, too. */
const DIALECT_PATH =
  /^\/(streams|info|ping|users|stats|gossip|histogram|health|admin|sys|projections?|subscriptions)(\/|$)/

/**
 * Returns true when an early refusal is sent without a body, as clients of EventStoreDB expect (reference 1.2): the
 * client is one of EventStoreDB's, or it names no media type and the path is unknown or exists in EventStoreDB.
 */
function isAnsweredBare({ headers, is404, routeOptions: { url = '' } }: FastifyRequest): boolean {
  if (isDialectClient(headers)) return true
  return namesNothing(headers.accept) && (is404 || DIALECT_PATH.test(url))
}

const problemForms = new AcceptedForms([
  ['application/problem+json', 'problem'],
  ['text/html', 'problem']
])

/**
 * Returns true when a 401 or 403 at a path that has only EventStoreDB's form is sent in that form. That is so when the
 * client is one of EventStoreDB's, when it names no media type, or when its Accept covers neither problems nor HTML.
 */
export function wantsDialectRefusal({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  const { accept } = headers
  return namesNothing(accept) || problemForms.preferred(accept) === undefined || isDialectClient(headers)
}

function namesNothing(accept: string | undefined): boolean {
  return accept === undefined || accept === ''
}

/** Refusals that depend on the account of the request, or on a missing account. */
const ACCOUNT_REFUSALS = new Set<ErrorCode>(['sign-in-required', 'wrong-credentials', 'not-permitted'])

/** Sends an error: refusals of the dialect in the form of the dialect, all others as a problem. */
export function sendProblem(raw: Error, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (raw instanceof Refusal) return sendRefusal(reply, raw)
  const error = asDaybookError(raw, request.routeOptions.config.bodyMax ?? limits.body_bytes_max)
  if (ACCOUNT_REFUSALS.has(error.code)) {
    const { dialect, negotiate } = request.routeOptions.config
    if (dialect?.(request) ?? (request.is404 && isAnsweredBare(request))) {
      // An unsupported media type is reported before missing rights (reference 14.5).
      try {
        negotiate?.(request)
      } catch (fault) {
        return sendProblem(fault as Error, request, reply)
      }
      return sendRefusal(reply, dialectRefusal(error))
    }
    if (problemKinds[error.code].status === 401) reply.header('www-authenticate', challenges(error))
  }
  const { available, retryAfter } = error.details
  if (error.code === 'unsupported-media-type' && Array.isArray(available)) {
    const types = available.every((one) => String(one).includes('/'))
    if (!types) reply.header('accept-encoding', available.join(', '))
    else if (request.method === 'POST') reply.header('accept-post', available.join(', '))
  }
  const { status } = problemKinds[error.code]
  if (status === 426) {
    const ends = reply.getHeader('connection') === 'close'
    reply.header('upgrade', 'websocket').header('connection', ends ? 'close, upgrade' : 'upgrade')
  }
  if (status === 503 || status === 507) reply.header('retry-after', '1')
  else if (status === 429) reply.header('retry-after', String(retryAfter ?? 1))
  const reason = BARE[error.code]
  if (reason !== undefined && isAnsweredBare(request)) {
    return sendRefusal(reply, new Refusal(status, reason, { bare: true }))
  }
  // The client of a refused write must learn whether the write happened, and whether to retry it.
  const outcome = isWrite(request.method) ? outcomeMembers(error) : undefined
  const problem = { ...problemOf(error, request), ...outcome }
  if (problem.status === 500) request.log.error({ err: error.cause ?? error, code: error.code }, error.message)
  if (problem.status === 404) reply.header('cache-control', 'no-store')
  reply.code(problem.status).header('content-type', 'application/problem+json; charset=utf-8')
  return reply.send(JSON.stringify(problem))
}

/** Returns the dialect's 401 for an account without the right, or for a request without an account (reference 14.1). */
function dialectRefusal({ code }: DaybookError): Refusal {
  const headers: Record<string, string> =
    code === 'wrong-credentials' ? { 'www-authenticate': 'X-Basic realm="ESDB"' } : {}
  return new Refusal(401, 'Unauthorized', { bare: true, headers })
}

/** Returns the challenges for `WWW-Authenticate`. */
function challenges({ code }: DaybookError): string[] {
  const wrong = code === 'wrong-credentials' ? ', error="invalid_token"' : ''
  return ['Basic realm="Daybook", charset="UTF-8"', `Bearer realm="Daybook"${wrong}`]
}

/** Matches the first line of a request with any method. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~\w-]+ \S+ HTTP\/1\.\d\r?\n/

/** Returns the code for an error that node's HTTP parser reports before there is a request. */
export function clientErrorCode(error: Error): ErrorCode {
  const { code = '' } = error as NodeJS.ErrnoException
  if (code === 'HPE_INVALID_METHOD' && REQUEST_LINE.test(unparsed(error))) return 'not-implemented'
  return CLIENT_ERRORS[code] ?? 'bad-request'
}

/** Returns the received text from the start of the word in which node's parser stopped. */
function unparsed({ rawPacket, bytesParsed = 0 }: Error & { rawPacket?: Buffer; bytesParsed?: number }): string {
  const text = rawPacket?.toString('latin1') ?? ''
  return (/[^\s{}[\]"]*$/.exec(text.slice(0, bytesParsed))?.[0] ?? '') + text.slice(bytesParsed)
}

/** Writes a problem to a connection and ends it, for requests that Fastify cannot answer any more. */
export function endWithProblem(socket: Duplex, code: ErrorCode): void {
  // When a response has already begun, the client would read a problem as a part of it. Destroy the connection instead.
  const begun = currentResponse(socket)?.headersSent
  if (!socket.writable || begun) return void socket.destroy()
  const { status, title } = problemKinds[code]
  const body = bareProblem(code)
  const headers = [
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...(status === 429 ? ['Retry-After: 1'] : [])
  ]
  socket.end(`HTTP/1.1 ${status} ${title}\r\n${headers.join('\r\n')}\r\n\r\n${body}`)
}

function bareProblem(code: ErrorCode): string {
  const { status, title, help } = problemKinds[code]
  const outcome = outcomeOf(code)
  return JSON.stringify({ type: `/problems/${code}`, code, title, status, detail: help, ...outcome })
}
