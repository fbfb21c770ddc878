/** A commit plan as bytes, which are the same in whichever process it was made. */
import { DaybookError } from '../../src/errors.js'
import { positionKey, sealRecord } from '../../src/log/format.js'
import { type CommitPlan, type PlannedAnswer, planCommit } from '../../src/writing/plan/plan-commit.js'
import type { PlacedEvent } from '../../src/writing/plan/planning-view.js'
import { LOG_ID, type RandomCommit } from './random-commits.js'

export function planned({ snapshot, requests, instant }: RandomCommit): CommitPlan {
  return planCommit(snapshot, requests, instant)
}

/** JSON, because V8 serialises a number in the form that it happens to have in memory. */
export function bytesOfPlan({ created, planned, answers }: CommitPlan): Buffer {
  return Buffer.from(JSON.stringify({ created, planned: planned.map(plainEvent), answers: answers.map(plainAnswer) }))
}

/** Sealed as in the log: an unsealed record has room whose bytes mean nothing. */
function plainEvent({ event, number, position, created, replayed }: PlacedEvent): object {
  const { stream, id, type, record } = event
  const bytes = Buffer.from(record.bytes)
  sealRecord({ bytes, payloadCrc: record.payloadCrc }, positionKey(position), { number, created }, LOG_ID)
  return { stream, id: id?.toString('hex'), type, bytes: bytes.toString('hex'), number, position, created, replayed }
}

function plainAnswer(answer: PlannedAnswer): object {
  if (answer instanceof DaybookError) return plainError(answer)
  if (!('events' in answer)) return answer
  const { events, replayed, heads, refused } = answer
  const error = refused && plainError(refused.error)
  return { events: events.map(plainEvent), replayed, heads: [...heads], refused: refused && [refused.index, error] }
}

function plainError(error: DaybookError): object {
  const { code, message, details } = error
  return { code, message, details, kind: error.constructor.name }
}
