/**
 * Durations as text: ISO 8601 with weeks, days, hours, minutes and seconds. Years and months are not supported, because
 * their length varies.
 */

/** The form of a duration, as the `pattern` of a JSON schema. */
export const DURATION_PATTERN = '^P(?!$)(\\d{1,19}W)?(\\d{1,19}D)?(T(?=\\d)(\\d{1,19}H)?(\\d{1,19}M)?(\\d{1,19}S)?)?$'

export const UNIT_SECONDS = { W: 604_800n, D: 86_400n, H: 3600n, M: 60n, S: 1n } as const

/** Returns the seconds of a duration. @param duration must match `DURATION_PATTERN` */
export function secondsOf(duration: string): bigint {
  let seconds = 0n
  for (const [, count, unit] of duration.matchAll(/(\d+)([WDHMS])/g)) {
    seconds += BigInt(count as string) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS]
  }
  return seconds
}

const UNITS_IN_WORDS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000]
] as const

/**
 * Returns a duration in words, in the largest unit of which it has at least two: `3,650 days`.
 * @param ms the sign is ignored
 */
export function inWords(ms: number): string {
  const length = Math.abs(ms)
  const [unit, unitMs] = UNITS_IN_WORDS.find(([, ofMs]) => length >= 2 * ofMs) ?? ['second', 1000]
  const count = Math.round(length / unitMs)
  return `${count.toLocaleString('en-US')} ${unit}${count === 1 ? '' : 's'}`
}
