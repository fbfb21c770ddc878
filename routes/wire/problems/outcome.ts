/** The outcome of a failed write, `written` and `retry`, for its problem document (native contract §3, §6). */
import type { DaybookError, ErrorCode } from '../../../src/errors.js'
import { problemKinds } from './problem.js'

export interface WriteOutcome {
  /** False: nothing was written. `unknown`: the write may have happened; a retry with the same ids is safe. */
  readonly written: false | 'unknown'
  /** Whether the same request may succeed later. */
  readonly retry: boolean
}

/** Statuses of temporary refusals: the same request may succeed later. */
const PASSING = new Set<number>([408, 429, 502, 503, 507])

const WRITES = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

/** True for the methods that may write. */
export function isWrite(method: string | undefined): boolean {
  return WRITES.has(method ?? '')
}

/** Returns the usual outcome of a write that failed with this code. */
export function outcomeOf(code: ErrorCode): WriteOutcome {
  const { status } = problemKinds[code]
  if (status === 500) return { written: 'unknown', retry: true }
  return { written: false, retry: PASSING.has(status) }
}

/** Returns the outcome of a write that failed with this error. Members in its details override the usual outcome. */
export function outcomeMembers({ code, details }: DaybookError): WriteOutcome {
  const { written, retry } = details as Partial<WriteOutcome>
  const usual = outcomeOf(code)
  return { written: written ?? usual.written, retry: retry ?? usual.retry }
}
