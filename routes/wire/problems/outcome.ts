/** What a problem that answers a write says of its outcome (native contract §3, §6). */
import type { DaybookError, ErrorCode } from '../../../src/errors.js'
import { problemKinds } from './problem.js'

export interface WriteOutcome {
  /** False: nothing was written. `unknown`: it may have been; sent again with the same ids it is not written twice. */
  readonly written: false | 'unknown'
  /** Whether the same request may succeed when it is sent again later. */
  readonly retry: boolean
}

/** Statuses of refusals that time alone can lift. */
const PASSING = new Set<number>([408, 429, 502, 503, 507])

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/** True for the methods that may write. */
export function isWrite(method: string | undefined): boolean {
  return WRITES.has(method ?? '')
}

/** The outcome of a write that ended in an error, as far as its code says it. */
export function outcomeOf(code: ErrorCode): WriteOutcome {
  const { status } = problemKinds[code]
  if (status === 500) return { written: 'unknown', retry: true }
  return { written: false, retry: PASSING.has(status) }
}

/** `written` and `retry` of a write that ended in this error; what the error says of itself goes first. */
export function outcomeMembers({ code, details }: DaybookError): WriteOutcome {
  const { written, retry } = details as Partial<WriteOutcome>
  const usual = outcomeOf(code)
  return { written: written ?? usual.written, retry: retry ?? usual.retry }
}
