/** The texts of a recovery plan: what is lost, what remains, and what accepting the loss does. */
import type { RecoveryPlan } from './recovery-plan.js'

/** Returns a sentence for each loss and for each fault that prevents the log from opening. */
export function lossesIn(plan: RecoveryPlan): string[] {
  const { unopened, identityLost, dropped, head, acknowledged = head, gaps, beforeGaps, refused } = plan
  const losses: string[] = []
  if (unopened !== undefined) losses.push(`LevelDB cannot open the log: ${unopened}.`)
  if (identityLost !== undefined) losses.push(`The identity of the log cannot be read: ${identityLost}.`)
  if (acknowledged > head) {
    const since = plan.headCreated === undefined ? '' : ` They were written at ${timeText(plan.headCreated)} or later.`
    losses.push(`The end of the log is missing: ${events(head + 1, acknowledged)} acknowledged.${since}`)
  }
  if (dropped !== undefined) {
    const unknown = 'How much is unknown, because the witness is missing or damaged.'
    losses.push(`The end of the log may be missing. ${unknown} LevelDB reports "${dropped}".`)
  }
  if (gaps.size > 0) {
    const since = beforeGaps === undefined ? '' : ` The first was written at ${timeText(beforeGaps)} or later.`
    const where = `${positionWord(gaps.size)} ${gaps}`
    losses.push(`${eventCount(gaps.size)} before the end of the log cannot be read: ${where}.${since}`)
  }
  if (losses.length === 0 && refused !== undefined) {
    losses.push(`The last start was refused: ${refused}. No further loss was found.`)
  }
  return losses
}

/** Returns a sentence about the events that remain. */
export function remainderOf({ head, headCreated, gaps }: RecoveryPlan): string {
  if (head < 0) return 'No event remains.'
  const last = headCreated === undefined ? 'which cannot be read' : `written at ${timeText(headCreated)}`
  return `${eventCount(head + 1 - gaps.size)} remain; the last is at position ${head}, ${last}.`
}

/** Returns the steps of `--accept-loss`, each a phrase that begins with a verb. */
export function stepsOf(plan: RecoveryPlan): string[] {
  const { unopened, identityLost, head, gaps } = plan
  const upTo = Math.min(head, (gaps.first ?? Infinity) - 1)
  const steps = ['keeps the current files of the log in a folder "before-recovery-…" of the directory']
  if (unopened !== undefined) {
    steps.push('lets LevelDB repair the log from its remaining tables and write-ahead logs')
  }
  if (identityLost !== undefined) {
    steps.push(
      'gives the log a new identity: no old cursor stays valid, and consumers start again where their definitions say'
    )
  } else if (upTo < 0) {
    steps.push('gives the log a new identity: no old cursor stays valid')
  } else {
    const cursors = `cursors stay valid up to position ${upTo}`
    steps.push(`gives the log a new identity: ${cursors}, and consumers beyond it go back to it`)
  }
  if (gaps.size > 0) {
    const where = `${positionWord(gaps.size)} ${gaps}`
    steps.push(`accepts that ${where} cannot be read: the store starts, and reads of them fail with "log-damaged"`)
  }
  steps.push('updates the index to the remaining events')
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
