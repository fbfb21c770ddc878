/**
 * Runs test files (those named as arguments, otherwise a selection of those that depend on Node most) on each later version of
 * Node that Daybook supports. npm downloads the binaries. Exits with 1 when anything failed.
 */
import { execFileSync } from 'node:child_process'
import { compile } from './runner/compile.js'
import { namedFiles, runFiles } from './runner/run-files.js'

const VERSIONS = [24, 26]

/** The files that test LevelDB's binding, files, memory, sockets, HTTP, WebSocket, TLS and kills. */
const SELECTION = [
  'test/access',
  'test/crash/kill.test.ts',
  'test/log/golden.test.ts',
  'test/log/disk-full.test.ts',
  'test/memory',
  'test/model/model.test.ts',
  'test/routes/append.test.ts',
  'test/routes/connections.test.ts',
  'test/routes/https.test.ts',
  'test/routes/live.test.ts',
  'test/routes/read.test.ts'
]

const named = process.argv.slice(2)
const files = namedFiles(named.length === 0 ? SELECTION : named)
await compile()
for (const version of VERSIONS) {
  const node = binaryOf(version)
  console.log(`Node ${execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()}`)
  if (!(await runFiles(files, node))) process.exitCode = 1
}

/** Returns the path of the newest binary of a major version, which npm keeps in its cache. */
function binaryOf(version: number): string {
  const words = ['--yes', '--package', `node@${version}`, 'node', '--print', 'process.execPath']
  return execFileSync('npx', words, { encoding: 'utf8' }).trim()
}
