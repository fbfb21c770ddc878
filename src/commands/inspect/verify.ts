/** `daybook verify`: reads everything in a directory and reports every inconsistency. */
import { VerifyConfig } from '../../../schemas/settings.js'
import { describeFlags, readConfig } from '../../config/config.js'
import { badConfiguration } from '../../errors.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { checkDirectory } from '../../verify/check-directory.js'
import type { CheckReport, DisagreementKind } from '../../verify/check-report.js'
import { requireDirectory } from '../directory.js'
import { Progress, StartProgress } from '../progress.js'
import { counted, warn } from '../wording.js'

const summary = 'check all files of a directory and report what is damaged or inconsistent'

/** Number of disagreements of a kind that are printed. */
const SHOWN = 5

export const verify = { summary, run: runVerify, schema: VerifyConfig }

/** Returns the exit code: 0 if everything agrees, 1 if not. */
async function runVerify(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(VerifyConfig, argv)
  if (help) {
    process.stdout.write(
      `daybook verify [flags]: ${summary}\n\nverify changes nothing, except with --rebuild-index. It prints the problems by kind, causes first, and then what to do.\nWith --json, the report has the first hundred problems of each kind.\n\nExit codes: 0 no problem found; 1 a problem found, or the directory cannot be read (standard error says why); 2 a wrong\nflag. Warnings do not change the exit code.\n\n${describeFlags(VerifyConfig)}\n`
    )
    return 0
  }
  if (words.length > 0) throw badConfiguration(`unexpected argument "${words[0]}"; name the directory with --db`)
  requireDirectory(config.db)
  if (config['rebuild-index']) {
    const rebuild = new StartProgress(systemClock)
    const onProgress: StartProgress['show'] = (what, done, of) => rebuild.show(what, done, of)
    const store = await new Store({ directory: config.db, rebuildIndex: true, onProgress }).open()
    rebuild.clear()
    await store.close()
    store.notices.forEach(warn)
  }
  const progress = new Progress('verifying', systemClock)
  const report = await checkDirectory(config.db, (done, of) => progress.show(done, of === 0 ? 1 : done / of))
  if (config.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  else process.stdout.write(reportText(report))
  const { events, streams, kinds, warnings } = report
  progress.end(`${config.db}: ${counted(events, 'event')} in ${counted(streams, 'stream')}, ${verdictOn(kinds)}`)
  for (const { code, detail } of warnings) warn(`${code}: ${detail}`)
  return kinds.length === 0 ? 0 : 1
}

/** Returns the disagreements by kind, causes first, and the advice. Empty if there are none. */
function reportText({ kinds, disagreements, advice }: CheckReport): string {
  const lines: string[] = []
  for (const { code, count, meaning, positions, follows } of kinds) {
    const about = positions === undefined ? '' : ` Positions: ${positions}.`
    const cause = follows === undefined ? '' : ` This follows from ${follows}.`
    lines.push(`${code} (${count.toLocaleString('en-US')}): ${meaning}.${about}${cause}`)
    const examples = disagreements.filter((one) => one.code === code).slice(0, follows === undefined ? SHOWN : 1)
    for (const { detail } of examples) lines.push(`  ${detail}`)
    if (count > examples.length) lines.push(`  and ${(count - examples.length).toLocaleString('en-US')} more`)
  }
  if (advice.length > 0) lines.push('', 'What to do:', ...advice.map((sentence) => `  ${sentence}`))
  return lines.map((line) => `${line}\n`).join('')
}

function verdictOn(kinds: readonly DisagreementKind[]): string {
  if (kinds.length === 0) return 'everything agrees'
  const count = kinds.reduce((sum, kind) => sum + kind.count, 0)
  return `${counted(count, 'disagreement')} of ${counted(kinds.length, 'kind')}`
}
