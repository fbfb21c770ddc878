/**
 * Runs the test files (all, or those named as arguments), shows what failed, and ends with one plain line:
 * `N passed, N failed`. Exits 1 when anything failed or nothing ran.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'daybook-tap-'))
const out = join(folder, 'out.tap')
const tap = join('node_modules', '.bin', 'tap')
// tap writes what its plugins need once; without it the first run of a clean clone fails. Two builds at a time spoil each
// other, so a run that finds one leaves it.
if (!existsSync(join('node_modules', '@tapjs', 'test', 'test-built', 'dist', 'esm', 'index.js'))) {
  spawnSync(tap, ['build'], { stdio: ['ignore', 'ignore', 'inherit'] })
}
const run = spawnSync(tap, ['run', '--reporter=silent', `--output-file=${out}`, ...process.argv.slice(2)], {
  stdio: ['ignore', 'inherit', 'inherit']
})
// Servers that tests have killed may still be ending, and write a last file.
rmSync(join('.tap', 'fixtures'), { recursive: true, force: true, maxRetries: 10 })
const lines = existsSync(out) ? readFileSync(out, 'utf8').split('\n') : []
rmSync(folder, { recursive: true })

for (const line of failures(lines)) console.log(line)
const totals = lines.findLast((line) => line.startsWith('# { total:')) ?? ''
const count = (name: string) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
const green = run.status === 0 && count('fail') === 0 && count('pass') > 0
const skipped = count('skip') > 0 ? `, ${count('skip')} skipped` : ''
console.log(`${count('pass')} passed, ${green ? 0 : Math.max(count('fail'), 1)} failed${skipped}`)
process.exitCode = green ? 0 : 1

/**
 * Failed assertions with their diagnostics, each under the file and tests it stands in; and files that failed although no
 * assertion did: their process was killed, or ended too early.
 */
function* failures(tap: readonly string[]): Generator<string> {
  const path: string[] = []
  let explained = false
  for (let i = 0; i < tap.length; i++) {
    const line = tap[i] as string
    const depth = (/^ */.exec(line)?.[0].length ?? 0) / 4
    const subtest = /^ *# Subtest: (.*)$/.exec(line)
    if (subtest !== null) {
      path.length = depth
      path[depth] = subtest[1] as string
    }
    const passed = !/^ *not ok /.test(line) || / # (TODO|SKIP)/i.test(line)
    const isFile = depth === 0 && / # time=/.test(line)
    const printed = !passed && (isFile ? !explained : !/ # time=/.test(line))
    if (isFile) explained = false
    else if (printed) explained = true
    if (!printed) continue
    yield `\n✗ ${path.slice(0, depth).filter(Boolean).join(' › ')}: ${line.trim().replace(/^not ok \d+ - /, '')}`
    for (let j = i + 1; j < tap.length && /^ +(---|\.\.\.| )/.test(tap[j] as string); j++) {
      yield tap[j] as string
      if ((tap[j] as string).trim() === '...') break
    }
  }
}
