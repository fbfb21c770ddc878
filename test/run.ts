/** Runs all test files and ends with one plain line: `N passed, N failed`. Exits 1 when anything failed. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const folder = mkdtempSync(join(tmpdir(), 'daybook-tap-'))
const out = join(folder, 'out.tap')
const tap = ['exec', '--no', '--', 'tap']
// tap writes what its plugins need once; without it the first run of a clean clone fails.
spawnSync('npm', [...tap, 'build'], { stdio: ['ignore', 'ignore', 'inherit'] })
const run = spawnSync('npm', [...tap, 'run', '--reporter=terse', `--output-file=${out}`, ...process.argv.slice(2)], {
  stdio: ['ignore', 'inherit', 'inherit']
})
const totals =
  readFileSync(out, 'utf8')
    .match(/^# \{ total: .*\}$/gm)
    ?.at(-1) ?? ''
rmSync(folder, { recursive: true })
const count = (name: string) => Number(new RegExp(`${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
const failed = count('fail')
const code = run.status === 0 && failed === 0 && count('pass') > 0 ? 0 : 1
console.log(`${count('pass')} passed, ${code === 1 ? Math.max(failed, 1) : 0} failed`)
process.exit(code)
