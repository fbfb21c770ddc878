/** `daybook recover`: the way out of a refused start. It says what is lost, and goes on without it when that is accepted. */
import { RecoverConfig } from '../../../schemas/settings.js'
import { describeFlags, readConfig } from '../../config/config.js'
import { badConfiguration, isDaybookError } from '../../errors.js'
import { acceptLoss } from '../../log/recovery/accept-loss.js'
import { lossesIn, remainderOf, stepsOf } from '../../recover/plan-text.js'
import { isNeeded, planRecovery, type RecoveryPlan } from '../../recover/recovery-plan.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { requireDirectory } from '../directory.js'
import { Progress } from '../progress.js'
import { warn } from '../wording.js'

const summary = 'make a directory start again whose log has lost events'

export const recover = { summary, run: runRecover, schema: RecoverConfig }

const HELP = `daybook recover [flags]: ${summary}

Says what keeps the directory from starting, which events are lost and which remain, and changes nothing. With
--accept-loss it goes on without them: the log gets a new identity, the index is brought to what remains, and all files
are kept as they were. A copy of the directory from a backup is better: it loses less.

Exits with 0 when nothing keeps the directory from starting (any more), with 1 when something does or the directory cannot
be looked at, with 2 when a flag is wrong.
`

/** @returns 0 when the directory starts, 1 when it does not */
async function runRecover(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(RecoverConfig, argv)
  if (help) {
    process.stdout.write(`${HELP}\n${describeFlags(RecoverConfig)}\n`)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`recover takes no "${words[0]}"; name the directory with --db`)
  requireDirectory(config.db)
  const { db, 'accept-loss': accept } = config
  let plan = await planOf(db, config.thorough)
  if (!accept) return offer(db, plan)
  if (isNeeded(plan)) await acceptPlan(db, plan)
  try {
    await bringIndex(db)
  } catch (error) {
    if (!isDaybookError(error) || error.code !== 'log-damaged') throw error
    // The index must be made anew, so more of the log is read than was looked at.
    plan = await planOf(db, true)
    if (!isNeeded(plan)) throw error
    await acceptPlan(db, plan)
    await bringIndex(db)
  }
  print([`${db} starts.`])
  return 0
}

async function planOf(db: string, thorough: boolean): Promise<RecoveryPlan> {
  const progress = new Progress('looking', systemClock)
  const onProgress = (done: number, of: number) => progress.show(done, done / of)
  const plan = await planRecovery(db, { thorough, clock: systemClock, onProgress })
  progress.clear()
  return plan
}

/** @returns the exit code */
function offer(db: string, plan: RecoveryPlan): number {
  if (!isNeeded(plan)) {
    print([`Nothing keeps ${db} from starting: there is nothing to recover.`])
    return 0
  }
  print([
    ...describe(db, plan),
    'With --accept-loss, recover',
    ...stepsOf(plan).map((step) => `  - ${step}`),
    '',
    'Nothing was changed. Restore the directory from a backup if you have one that holds more. To go on without what is lost:',
    `  daybook recover --db ${db} --accept-loss`
  ])
  return 1
}

function describe(db: string, plan: RecoveryPlan): string[] {
  return [`${db} does not start:`, ...lossesIn(plan).map((loss) => `  - ${loss}`), '', remainderOf(plan), '']
}

async function acceptPlan(db: string, plan: RecoveryPlan): Promise<void> {
  print(describe(db, plan))
  const { unopened, identityLost, gaps, ...others } = plan
  const report = `${JSON.stringify({ unopened, identityLost, gaps: gaps.ranges, ...others }, null, 2)}\n`
  const done = await acceptLoss(db, systemClock.now(), {
    repair: unopened !== undefined,
    identityLost: identityLost !== undefined,
    gaps,
    report
  })
  print([
    `The log goes on after position ${done.head}, under the new identity ${done.identity}.`,
    `The files as they were are kept in ${done.keptIn}; remove that folder when nobody needs them.`
  ])
}

/** Opens the store once, as a start does: an index that covers lost events is made anew. */
async function bringIndex(db: string): Promise<void> {
  const store = await new Store({ directory: db }).open()
  await store.close()
  store.notices.forEach(warn)
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}
