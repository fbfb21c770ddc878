/** One test file in a process of its own, and its results as they come. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { pathToFileURL } from 'node:url'
import { Parser, type Result } from 'tap-parser'
import { compiledScript } from '../helpers/project.js'

/** A file takes seconds; on a busy machine minutes. */
const FILE_MS_MAX = 15 * 60 * 1000
/** How long a file that took too long may say which handles kept it. */
const ABORT_MS = 10_000

const FLAGS = [
  '--enable-source-maps',
  `--import=${pathToFileURL(compiledScript('test/runner/without-async-hooks.ts'))}`,
  `--import=${pathToFileURL(compiledScript('test/runner/exact-arrays.ts'))}`
]

/** Inherited by the processes that a test starts. */
const CHEAP_PASSWORDS = `--import=${pathToFileURL(compiledScript('test/runner/cheap-passwords.ts'))}`
/** These files test what happens while a password is checked. */
const COSTLY_PASSWORDS = new Set(['test/users/sign-in.test.ts'])

/** A failed assertion, or a process that ended wrongly. */
export interface Failure {
  readonly file: string
  /** The titles of the tests that it stands in, and its own, separated by ` > `. */
  readonly name: string
  /** Members of the diagnostics; empty when there are none. */
  readonly diagnostics: object
}

export interface FileResult {
  readonly file: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly milliseconds: number
}

export interface TestProcessOptions {
  /** The binary of node that runs the file. */
  readonly node: string
  /** The folder below which tests make their own. */
  readonly folder: string
  /** Called for each failure as soon as it is known. */
  readonly onFailure: (failure: Failure) => void
}

/** Runs a test file to its end. @returns how many assertions passed, failed and were skipped */
export async function runTestFile(file: string, { node, folder, onFailure }: TestProcessOptions): Promise<FileResult> {
  const begin = performance.now()
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const fail = (name: string, diagnostics: object = {}) => {
    counts.failed++
    onFailure({ file, name, diagnostics })
  }
  const count = (result: Result) => {
    if (result.skip || result.todo) counts.skipped++
    else if (result.ok) counts.passed++
    else fail(result.fullname, result.diag ?? {})
  }
  const env = {
    ...process.env,
    ...(!COSTLY_PASSWORDS.has(file) && { NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} ${CHEAP_PASSWORDS}`.trim() }),
    TAP: '1',
    TAP_CHILD_ID: '1',
    TAP_CWD: folder,
    // tap would remove a test's folder before the teardowns that close what is open in it.
    TAP_SAVE_FIXTURE: '1',
    TAP_TIMEOUT: String(FILE_MS_MAX / 1000)
  }
  const child = spawn(node, [...FLAGS, compiledScript(file)], {
    env,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const parser = child.stdout.pipe(new Parser())
  eachAssertion(parser, count, (test) => fail(`${test} > no assertion was made`))
  const tooLong = setTimeout(() => {
    fail(`took longer than ${FILE_MS_MAX / 60_000} minutes`)
    child.kill('SIGTERM')
    setTimeout(() => child.kill('SIGKILL'), ABORT_MS).unref()
  }, FILE_MS_MAX)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(tooLong)
  if (counts.failed === 0 && code !== 0) fail(`the process ended with ${signal ?? `exit code ${code}`}`)
  if (counts.passed + counts.failed + counts.skipped === 0) fail('no assertion was made')
  return { file, ...counts, milliseconds: performance.now() - begin }
}

/**
 * Calls back for each assertion of all tests, and for each test that made none: it could not fail. The line that sums up a
 * test is no assertion of its own.
 */
function eachAssertion(
  parser: Parser,
  onAssertion: (result: Result) => void,
  onEmptyTest: (test: string) => void
): void {
  let follows: Parser | undefined
  parser.on('child', (test: Parser) => {
    eachAssertion(test, onAssertion, onEmptyTest)
    follows = test
  })
  parser.on('assert', (result: Result) => {
    if (follows === undefined) onAssertion(result)
    else if (follows.count === 0 && !result.skip && !result.todo) onEmptyTest(result.fullname)
    follows = undefined
  })
}
