/** `daybook verify`: reads everything in a directory and names every disagreement. */
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

const summary = 'read everything in a directory and name what disagrees'

/** Disagreements of a kind that are printed. */
const SHOWN = 5

export const verify = { summary, run: runVerify, schema: VerifyConfig }

/** @returns 0 when all is well, 1 when something disagrees */
async function runVerify(argv: readonly string[]): Promise<number> {
  const { config, words, help } = readConfig(VerifyConfig, argv)
  if (help) {
    process.stdout.write(
      `daybook verify [flags]: ${summary}\n\nNothing in the directory is changed. Disagreements are printed by kind, causes first, and then what helps; --json also\nholds the first hundred of each kind.\n\nExits with 0 when all is well, with 1 when something disagrees or the directory cannot be read (standard error says why),\nwith 2 when a flag is wrong. Warnings change nothing of that.\n\n${describeFlags(VerifyConfig)}\n`
    )
    return 0
  }
  if (words.length > 0) throw badConfiguration(`verify takes no "${words[0]}"; name the directory with --db`)
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

/** The disagreements by kind, causes first, and what helps. Empty when there are none. */
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
