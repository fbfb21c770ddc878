/** `daybook verify`: reads everything in a directory and names every disagreement. */
import { VerifyConfig } from '../../../schemas/settings.js'
import { badConfiguration, describeFlags, readConfig } from '../../config.js'
import { Store } from '../../store/store.js'
import { systemClock } from '../../time/clock.js'
import { checkDirectory } from '../../verify/check-directory.js'
import { requireDirectory } from '../directory.js'
import { Progress, StartProgress } from '../progress.js'

const summary = 'read everything in a directory and name what disagrees'

export const verify = { summary, run: runVerify }

/** @returns 0 when all is well, 1 when something disagrees */
async function runVerify(argv: string[]): Promise<number> {
  const { config, words, help } = readConfig(VerifyConfig, argv)
  if (help) {
    process.stdout.write(
      `daybook verify [flags]: ${summary}\n\nExits with 0 when all is well, with 1 when something disagrees. Warnings change nothing of that.\n\n${describeFlags(VerifyConfig)}\n`
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
    for (const notice of store.notices) process.stderr.write(`WARNING: ${notice}.\n`)
  }
  process.stdout.on('error', () => {}) // the reader of a pipe may leave before the end
  const progress = new Progress('verifying', systemClock)
  const report = await checkDirectory(config.db, (done, of) => progress.show(done, of === 0 ? 1 : done / of))
  const { events, streams, disagreements, warnings } = report
  if (config.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  else for (const { code, detail } of disagreements) process.stdout.write(`${code}: ${detail}\n`)
  const verdict = disagreements.length === 0 ? 'everything agrees' : `${disagreements.length} disagreements`
  progress.end(
    `${config.db}: ${events.toLocaleString('en-US')} events in ${streams.toLocaleString('en-US')} streams, ${verdict}`
  )
  for (const { code, detail } of warnings) process.stderr.write(`WARNING: ${code}: ${detail}.\n`)
  return disagreements.length === 0 ? 0 : 1
}
