/** The error of a damaged log. */
import { DaybookError } from '../errors.js'

/**
 * Returns the error `log-damaged`, which names the lost positions and what the operator can do.
 * @param positions text as of `positionRange` or `positionRanges`
 * @param why what is wrong at these positions
 */
export function logDamaged(positions: string, why: string): DaybookError {
  const verify = '"daybook verify --db DIR" lists all damage'
  const restore = 'Restore the directory from a backup, import an export into a new directory'
  const recover = 'or continue without the lost events ("daybook recover --db DIR")'
  const message = `the log is damaged at ${positions}: ${why}. ${verify}. ${restore}, ${recover}`
  return new DaybookError('log-damaged', message, { positions })
}

/** Returns the text of a range: `3–7`, or `3` for a single position. */
export function positionRange(first: number, last: number): string {
  return first === last ? `${first}` : `${first}–${last}`
}

/** Returns the text of rising positions, joined to ranges: `3–7, 12`. Shows the first 20 ranges. */
export function positionRanges(positions: readonly number[]): string {
  const texts: string[] = []
  let first = positions[0] as number
  for (const [i, position] of positions.entries()) {
    if (positions[i + 1] === position + 1) continue
    texts.push(positionRange(first, position))
    first = positions[i + 1] as number
  }
  return texts.length > 20 ? `${texts.slice(0, 20).join(', ')} and ${texts.length - 20} more ranges` : texts.join(', ')
}
