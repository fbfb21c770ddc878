/** `Expect: 100-continue`: the client sends its body only after a `100 Continue` (RFC 9110 10.1.1). */
import type { FastifyRequest } from 'fastify'
import { DaybookError } from '../../../src/errors.js'
import { announcesBody } from './request-body.js'

/**
 * Rejects expectations other than 100-continue. For a request without a body it sends `100 Continue` at once, because
 * node closes the connection of a request that never got one.
 * @throws `expectation-failed`
 */
export function checkExpectation(request: FastifyRequest): void {
  const { headers, httpVersion } = request.raw
  // HTTP/1.0 has no such header (RFC 9110 10.1.1).
  if (httpVersion !== '1.1') return
  const { expect = '' } = headers
  if (expect.trim().toLowerCase() !== '100-continue') {
    const why = `The Expect header is "${expect.slice(0, 100)}"; only "100-continue" is supported.`
    throw new DaybookError('expectation-failed', why)
  }
  if (!announcesBody(request.raw)) request.answer.writeContinue()
}

/** Sends `100 Continue` to a client that waits for it. Call it after all checks that need no body have passed. */
export function askForBody({ raw, answer }: FastifyRequest): void {
  if (raw.headers.expect !== undefined && raw.httpVersion === '1.1') answer.writeContinue()
}
