/** `Expect: 100-continue`: a client that sends its body when it is told that the body is wanted (RFC 9110 10.1.1). */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { announcesBody } from './request-body.js'

/**
 * Refuses expectations that are not known. One for a body that does not follow is met at once: node would end the
 * connection of a request whose expectation was not met.
 * @throws `expectation-failed`
 */
export function checkExpectation(request: FastifyRequest): void {
  const { headers, httpVersion } = request.raw
  // HTTP/1.0 has no such header (RFC 9110 10.1.1).
  if (httpVersion !== '1.1') return
  if (headers.expect?.trim().toLowerCase() !== '100-continue') {
    throw new DaybookError('expectation-failed', 'The only expectation that is known is 100-continue.')
  }
  if (!announcesBody(request.raw)) request.answer.writeContinue()
}

/** Tells a client that waits for it that the body is wanted. Called when nothing that is known refuses the request. */
export function askForBody({ raw, answer }: FastifyRequest): void {
  if (raw.headers.expect !== undefined && raw.httpVersion === '1.1') answer.writeContinue()
}
