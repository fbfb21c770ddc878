/** Measuring several subjects in turn. */
import { quiet } from './machine.js'
import type { Scale } from './scale.js'

/** Fraction of the machine used by other processes at the beginning of each round of this run. */
export const foreignLoads: number[] = []

/**
 * Runs each subject once per round, in alternating order, so that other load on the machine affects all of them.
 * Returns the results of each, round by round.
 */
export async function inTurn<Results extends Record<string, unknown>>(
  { rounds, patience }: Pick<Scale, 'rounds' | 'patience'>,
  subjects: { [Name in keyof Results]: () => Promise<Results[Name]> }
): Promise<{ [Name in keyof Results]: Results[Name][] }> {
  const names: (keyof Results)[] = Object.keys(subjects)
  const results = Object.fromEntries(names.map((name) => [name, []])) as unknown as {
    [Name in keyof Results]: Results[Name][]
  }
  for (let round = 0; round < rounds; round++) {
    foreignLoads.push(await quiet(patience))
    for (const name of round % 2 === 0 ? names : names.toReversed()) results[name].push(await subjects[name]())
  }
  return results
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] as number
  return Number.isInteger(middle) ? ((sorted[middle - 1] as number) + upper) / 2 : upper
}

/** Returns a quantile of sorted values. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] as number
}
