/** How much of the long random and crash tests is run: DAYBOOK_TEST_SCALE, from 0.01 to 1 (all of it, as in CI). */

const scale = Number(process.env.DAYBOOK_TEST_SCALE ?? 0.2)
if (!(scale >= 0.01 && scale <= 1)) throw new Error(`DAYBOOK_TEST_SCALE is ${scale}; it must be from 0.01 to 1`)

/** Returns a number of rounds, steps or requests at the scale of this run, at least `least`. */
export function scaled(full: number, least = 1): number {
  return Math.max(least, Math.round(full * scale))
}
