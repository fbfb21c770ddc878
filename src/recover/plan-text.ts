/** A recovery plan in words: what is lost, what remains, and what accepting the loss does. */
import type { RecoveryPlan } from './recovery-plan.js'

/** @returns a sentence for each thing that is lost or that keeps the log from opening */
export function lossesIn(plan: RecoveryPlan): string[] {
  const { unopened, identityLost, dropped, head, acknowledged = head, gaps, beforeGaps, refused } = plan
  const losses: string[] = []
  if (unopened !== undefined) losses.push(`LevelDB cannot open the log: ${unopened}.`)
  if (identityLost !== undefined) losses.push(`The identity of the log cannot be read: ${identityLost}.`)
  if (acknowledged > head) {
    const since = plan.headCreated === undefined ? '' : ` They were written at ${timeText(plan.headCreated)} or later.`
    losses.push(`The end of the log is gone: ${events(head + 1, acknowledged)} acknowledged.${since}`)
  }
  if (dropped !== undefined) {
    losses.push(`The end of the log may be gone, and no witness says how much: LevelDB says "${dropped}".`)
  }
  if (gaps.size > 0) {
    const since = beforeGaps === undefined ? '' : ` The first was written at ${timeText(beforeGaps)} or later.`
    losses.push(`${eventCount(gaps.size)} before its end cannot be read: ${positionWord(gaps.size)} ${gaps}.${since}`)
  }
  if (losses.length === 0 && refused !== undefined) {
    losses.push(`The last start was refused: ${refused}. Nothing more is found to be lost.`)
  }
  return losses
}

/** What the directory holds after the loss, a sentence. */
export function remainderOf({ head, headCreated, gaps }: RecoveryPlan): string {
  if (head < 0) return 'No event remains.'
  const last = headCreated === undefined ? 'which cannot be read' : `written at ${timeText(headCreated)}`
  return `${eventCount(head + 1 - gaps.size)} remain; the last is at position ${head}, ${last}.`
}

/** What `--accept-loss` does, a sentence each. */
export function stepsOf(plan: RecoveryPlan): string[] {
  const { unopened, identityLost, head, gaps } = plan
  const upTo = Math.min(head, (gaps.first ?? Infinity) - 1)
  const steps = ['keeps all files of the log as they are now in a folder "before-recovery-…" of the directory']
  if (unopened !== undefined) {
    steps.push('lets LevelDB make the log again from the tables and write-ahead logs that are there')
  }
  if (identityLost !== undefined) {
    steps.push(
      'gives the log a new identity: no cursor of before is valid, and consumers begin where their definitions say'
    )
  } else if (upTo < 0) {
    steps.push('gives the log a new identity: no cursor of before is valid')
  } else {
    steps.push(
      `gives the log a new identity: cursors stay valid up to position ${upTo}, and consumers that were further go back to it`
    )
  }
  if (gaps.size > 0) {
    steps.push(`starts although ${positionWord(gaps.size)} ${gaps} cannot be read: reads of them answer "log-damaged"`)
  }
  steps.push('brings the index to what remains')
  return steps
}

function events(first: number, last: number): string {
  const positions = first === last ? `at position ${first}` : `at positions ${first}–${last}`
  return `${eventCount(last - first + 1)} ${positions} that were`
}

function eventCount(number: number): string {
  return number === 1 ? '1 event' : `${number.toLocaleString('en-US')} events`
}

function positionWord(number: number): string {
  return number === 1 ? 'position' : 'positions'
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
