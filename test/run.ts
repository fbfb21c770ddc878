/**
 * Runs the test files (all, or those named as arguments). Prints a line per file as it ends and failures at once, and ends
 * with `N passed, N failed`. Exits with 1 when anything failed or nothing ran.
 */
import { rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './helpers/project.js'
import { compile, testFiles } from './runner/compile.js'
import { Progress } from './runner/progress.js'
import { runTestFile } from './runner/test-process.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    /** How many files run at a time. */
    jobs: { type: 'string', default: String(availableParallelism()) },
    /** The binary of node that runs the files. */
    node: { type: 'string', default: process.execPath }
  }
})

const known = testFiles()
const named = positionals.map((path) => relative(root, path))
for (const path of named)
  if (!known.some((file) => isIn(file, path))) throw new Error(`${path} is no test file, and no folder of any`)
const files = longFirst(named.length === 0 ? known : known.filter((file) => named.some((path) => isIn(file, path))))
await compile()
const progress = new Progress(files.length)
const queue = files.values()
await Promise.all(Array.from({ length: Number(values.jobs) }, runQueue))
// Servers that tests have killed may still be ending, and write a last file.
rmSync(join(root, '.tap', 'fixtures'), { recursive: true, force: true, maxRetries: 10 })
process.exitCode = progress.summary() ? 0 : 1

async function runQueue(): Promise<void> {
  for (const file of queue) {
    const onFailure = progress.failed.bind(progress)
    progress.ended(await runTestFile(file, { node: values.node, onFailure }))
  }
}

function isIn(file: string, path: string): boolean {
  return file === path || file.startsWith(`${path}/`)
}

/** Begins with the files that take longest, so that none of them is left over at the end. */
function longFirst(files: string[]): string[] {
  const long = /^test\/(commands|browser\/page|crash\/|contract\/(crawler|same-log)|dialect\/(replay|crawler)|model\/)/
  return [...files].sort((a, b) => Number(long.test(b)) - Number(long.test(a)))
}
