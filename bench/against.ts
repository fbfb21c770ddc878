/** `--against COMMIT`: compares the processor time of the same work in another build and in this one. */
import { type Line, lines } from './lines.js'
import { type Build, here } from './support/builds.js'
import { removeFolder } from './support/processes.js'
import type { Report } from './support/report.js'
import { inTurn, mean } from './support/rounds.js'
import type { Scale } from './support/scale.js'
import type { Rate } from './support/usage.js'
import { directoryOf, type Start, type Subject, startWork, type Work } from './support/work.js'

/** Number of loads per build in a round: this one, the other, the other, this one. */
const LOADS = 2

/** Both builds, and their measurements. */
type Both<T> = { readonly ours: T; readonly theirs: T }

/** The other build does not support the work; it may be older. */
class OtherBuildError extends Error {}

/**
 * Measures the works of these lines in both builds, and reports each. Work that the other build does not support is
 * reported as not measured.
 * @param ids lines that have works
 */
export async function benchAgainst(report: Report, scale: Scale, ids: readonly string[], other: Build): Promise<void> {
  for (const id of ids) {
    for (const work of (lines[id] as Line).works?.(scale) ?? []) {
      try {
        const { ours, theirs } = await ('start' in work ? starts(work, other, scale) : loads(work, other, scale))
        report.against(id, { ...work, rates: ours, other: { name: other.name, rates: theirs } })
      } catch (error) {
        if (!(error instanceof OtherBuildError)) throw error
        report.note(id, work.what, 'not measured', `${other.name} cannot do it: ${error.message}`)
      }
    }
  }
}

/** Each round starts both builds on a copy of the store. A start before them is not measured: it reads the files. */
async function starts(work: Start, other: Build, scale: Scale): Promise<Both<Rate[]>> {
  const start = async (build: Build) => work.start(await directoryOf(work, build), build)
  const both = { ours: () => start(here), theirs: () => orSay(start(other)) }
  await both.ours()
  await both.theirs()
  return inTurn(scale, both)
}

/**
 * Each round starts both servers anew, so that no ratio depends on the JIT compilation and memory layout of one
 * process. A filled store is copied once and kept for all rounds; without one, each round has an empty directory.
 */
async function loads(work: Work, other: Build, scale: Scale): Promise<Both<Rate[]>> {
  const directories: string[] = []
  const directoryFor = async (build: Build) => {
    const directory = await directoryOf(work, build)
    directories.push(directory)
    return directory
  }
  const rates: Both<Rate[]> = { ours: [], theirs: [] }
  try {
    const kept = work.store && { ours: await directoryFor(here), theirs: await orSay(directoryFor(other)) }
    for (let round = 0; round < scale.rounds; round++) {
      const both = {
        ours: () => startWork(work, { directory: kept?.ours }),
        theirs: () => orSay(startWork(work, { build: other, directory: kept?.theirs }))
      }
      const { ours, theirs } = await loadBoth(both, round % 2 === 1, scale)
      rates.ours.push(ours)
      rates.theirs.push(theirs)
    }
  } finally {
    for (const directory of directories) removeFolder(directory)
  }
  return rates
}

/** One round: both servers run, and are loaded one at a time. @param reversed the other one first and last */
async function loadBoth(
  start: Both<() => Promise<Subject>>,
  reversed: boolean,
  { seconds, patience }: Scale
): Promise<Both<Rate>> {
  const ours = await start.ours()
  let theirs: Subject | undefined
  try {
    const other = await start.theirs()
    theirs = other
    const each = Math.ceil(seconds / LOADS)
    const both = { ours: () => ours.load(each), theirs: () => orSay(other.load(each)) }
    const ordered = reversed ? { theirs: both.theirs, ours: both.ours } : both
    const rates = await inTurn<Both<Rate>>({ rounds: LOADS, patience }, ordered)
    return { ours: meanRate(rates.ours), theirs: meanRate(rates.theirs) }
  } finally {
    await theirs?.stop()
    await ours.stop()
  }
}

function meanRate(rates: readonly Rate[]): Rate {
  return { rate: mean(rates.map(({ rate }) => rate)), cpu: mean(rates.map(({ cpu }) => cpu)) }
}

/** Runs work of the other build. @throws OtherBuildError if it fails */
function orSay<T>(work: Promise<T>): Promise<T> {
  return work.catch((error: Error) => {
    throw new OtherBuildError(error.message)
  })
}
