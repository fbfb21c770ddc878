/** Durations as text: ISO 8601 of weeks, days, hours, minutes and seconds, whose lengths are all the same. */

/** What a duration looks like, as a JSON schema's pattern. */
export const DURATION_PATTERN = '^P(?!$)(\\d{1,19}W)?(\\d{1,19}D)?(T(?=\\d)(\\d{1,19}H)?(\\d{1,19}M)?(\\d{1,19}S)?)?$'

export const UNIT_SECONDS = { W: 604_800n, D: 86_400n, H: 3600n, M: 60n, S: 1n } as const

/** Seconds of a duration that looks like one. */
export function secondsOf(duration: string): bigint {
  let seconds = 0n
  for (const [, count, unit] of duration.matchAll(/(\d+)([WDHMS])/g)) {
    seconds += BigInt(count as string) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS]
  }
  return seconds
}
