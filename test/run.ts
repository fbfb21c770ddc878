/**
 * Runs the test files (all, or those in the files and folders named as arguments). Prints a line per file as it ends and
 * failures at once, and ends with `N passed, N failed`. Exits with 1 when anything failed or nothing ran.
 */
import { compile } from './runner/compile.js'
import { namedFiles, runFiles } from './runner/run-files.js'

const files = namedFiles(process.argv.slice(2))
await compile()
process.exitCode = (await runFiles(files, process.execPath)) ? 0 : 1
