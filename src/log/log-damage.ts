/** The error of a damaged log: which positions are lost, and what to do about it. */
import { DaybookError } from '../errors.js'

/** @param positions as `positionRange` or `positionRanges` give them @param why what is wrong there */
export function logDamaged(positions: string, why: string): DaybookError {
  return new DaybookError(
    'log-damaged',
    `the log is damaged at ${positions}: ${why}. "daybook verify --db DIR" names everything that is wrong; restore the directory from a backup, import an export into a new one, or go on without what is lost ("daybook recover --db DIR")`,
    { positions }
  )
}

/** The positions from the first to the last: `3–7`. */
export function positionRange(first: number, last: number): string {
  return first === last ? `${first}` : `${first}–${last}`
}

/** Rising positions in few words: `3–7, 12`. */
export function positionRanges(positions: readonly number[]): string {
  const texts: string[] = []
  let first = positions[0] as number
  for (const [i, position] of positions.entries()) {
    if (positions[i + 1] === position + 1) continue
    texts.push(positionRange(first, position))
    first = positions[i + 1] as number
  }
  return texts.length > 20 ? `${texts.slice(0, 20).join(', ')} and ${texts.length - 20} more places` : texts.join(', ')
}
