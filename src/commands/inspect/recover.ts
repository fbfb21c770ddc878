/** `daybook recover`: reports which events a damaged log has lost and, if told so, makes it usable without them. */
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

const summary = 'repair a directory that no longer starts because its log lost events'

export const recover = { summary, run: runRecover, schema: RecoverConfig }

const HELP = `daybook recover [flags]: ${summary}

Without --accept-loss, recover only reports: why the directory does not start, which events are lost and which remain.
With --accept-loss, it makes the directory usable without the lost events. The log gets a new identity, the index is
updated, and all original files are kept. Restoring a backup is better, because it loses less.

Exit codes: 0 the directory can be started; 1 it cannot, or it cannot be read; 2 a wrong flag.
`

/** Returns the exit code: 0 if the directory can be started, 1 if it cannot. */
async function runRecover(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(RecoverConfig, argv)
  if (help) {
    process.stdout.write(`${HELP}\n${describeFlags(RecoverConfig)}\n`)
    return 0
  }
  if (words.length > 0) throw badConfiguration(`unexpected argument "${words[0]}"; name the directory with --db`)
  requireDirectory(config.db)
  const { db, 'accept-loss': accept } = config
  let plan = await planOf(db, config.thorough)
  if (!accept) return offer(db, plan)
  if (isNeeded(plan)) await acceptPlan(db, plan)
  try {
    await bringIndex(db)
  } catch (error) {
    if (!isDaybookError(error) || error.code !== 'log-damaged') throw error
    // The index must be rebuilt, which reads more of the log than the plan covered.
    plan = await planOf(db, true)
    if (!isNeeded(plan)) throw error
    await acceptPlan(db, plan)
    await bringIndex(db)
  }
  print([`${db} can be started.`])
  return 0
}

async function planOf(db: string, thorough: boolean): Promise<RecoveryPlan> {
  const progress = new Progress('checking', systemClock)
  const onProgress = (done: number, of: number) => progress.show(done, done / of)
  const plan = await planRecovery(db, { thorough, clock: systemClock, onProgress })
  progress.clear()
  return plan
}

/** Prints the plan without executing it. Returns the exit code. */
function offer(db: string, plan: RecoveryPlan): number {
  if (!isNeeded(plan)) {
    print([`${db} can be started: there is nothing to recover.`])
    return 0
  }
  print([
    ...describe(db, plan),
    'With --accept-loss, recover',
    ...stepsOf(plan).map((step) => `  - ${step}`),
    '',
    'Nothing was changed. If you have a backup that holds more events, restore it. To accept the loss, run:',
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
    `The log continues after position ${done.head}, with the new identity ${done.identity}.`,
    `The original files are kept in ${done.keptIn}; remove that folder when you no longer need them.`
  ])
}

/** Opens the store once, as a start does. This rebuilds an index that covers lost events. */
async function bringIndex(db: string): Promise<void> {
  const store = await new Store({ directory: db }).open()
  await store.close()
  store.notices.forEach(warn)
}

function print(lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}
