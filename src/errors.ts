/**
 * The codes of all errors. Clients switch on `code`, so a code never changes its meaning. Only
 * routes/wire/problems/problem.ts defines the status, title and help page of a code. An error without a code is a bug.
 */
import { getSystemErrorMap } from 'node:util'

export const errorCodes = [
  // The content of the request
  'malformed-json',
  'invalid-utf8',
  'invalid-body',
  'empty-batch',
  'invalid-event',
  'invalid-metadata',
  'bad-event-id',
  'bad-tag',
  'bad-instant',
  'bad-cursor',
  'bad-parameter',
  'unknown-parameter',
  'bad-expression',
  'bad-stream-name',
  'bad-condition',
  'bad-header',
  'bad-frame',
  'bad-encoding',
  'missing-event-type',
  // The form of the request, and its credentials
  'bad-request',
  'sign-in-required',
  'wrong-credentials',
  'not-permitted',
  'tls-required',
  'too-many-attempts',
  'too-many-requests',
  'too-many-connections',
  'wrong-password',
  'invalid-user',
  'user-not-found',
  'user-exists',
  'last-administrator',
  'token-not-found',
  'host-refused',
  'origin-refused',
  'not-found',
  'method-not-allowed',
  'not-acceptable',
  'expectation-failed',
  'upgrade-lost',
  'unsupported-media-type',
  'request-timeout',
  'uri-too-long',
  'headers-too-large',
  'body-too-large',
  'event-too-large',
  'batch-too-large',
  'page-too-large',
  // The content of the store
  'stream-not-found',
  'stream-deleted',
  'event-not-found',
  'event-removed',
  'cursor-beyond-head',
  'log-changed',
  'not-there-yet',
  'wrong-expected-version',
  'events-match',
  'event-id-reused',
  'idempotency-key-reused',
  'partial-replay',
  // Why a subscription ends
  'complete',
  'too-slow',
  'not-acknowledged',
  // Consumers
  'limit-reached',
  'consumer-not-found',
  'consumer-exists',
  'consumer-in-use',
  'consumer-removed',
  'stale-generation',
  'not-sent',
  // The state of the server
  'not-implemented',
  'index-switched-off',
  'overloaded',
  'starting',
  'stopping',
  'read-only',
  'storage-failed',
  'log-damaged',
  'index-damaged',
  'internal',
  // Commands that open a directory or talk to a server
  'bad-configuration',
  'directory-in-use',
  'directory-unusable',
  'format-unknown',
  'address-in-use',
  'resource-unusable',
  'server-unreachable',
  'import-refused'
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** An error with a code. `details` become members of the problem document in the response. */
export class DaybookError extends Error {
  readonly code: ErrorCode
  readonly details: Record<string, unknown>

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'DaybookError'
    this.code = code
    this.details = details
  }
}

/** Returns true for an error with a code. */
export function isDaybookError(error: unknown): error is DaybookError {
  return error instanceof DaybookError
}

/** Returns the error for invalid arguments, variables or configuration. @param why a sentence without a full stop */
export function badConfiguration(why: string, cause?: unknown): DaybookError {
  return new DaybookError('bad-configuration', why, {}, cause)
}

/**
 * Returns the error for a file, an address or a limit of this machine that a command needs and cannot use.
 * @param why a sentence without a full stop
 */
export function resourceUnusable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('resource-unusable', why, {}, cause)
}

/** Returns the description of a system error (`permission denied`); for other errors, their message. */
export function systemReason(error: unknown): string {
  const { errno, message } = error as NodeJS.ErrnoException
  const [, words] = (errno === undefined ? undefined : getSystemErrorMap().get(errno)) ?? []
  return words ?? message
}
