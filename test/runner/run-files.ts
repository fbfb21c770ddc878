/** Runs test files, several at a time. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { root } from '../helpers/project.js'
import { testFiles } from './compile.js'
import { Progress } from './progress.js'
import { runTestFile } from './test-process.js'

/** These take longest and are begun first, so that none of them is left over at the end. */
const LONG =
  /^test\/(commands|import|recover|routes\/(proxies|body-memory|not-there)|browser\/page|crash\/|contract\/(crawler|same-log)|dialect\/(replay|crawler)|model\/)/

/**
 * Runs files to their end, several at a time.
 * @param node the binary of node that runs them
 * @returns whether everything passed and anything was run
 */
export async function runFiles(files: readonly string[], node: string): Promise<boolean> {
  const progress = new Progress(files.length)
  const folder = makeFolder()
  const queue = [...files].sort((a, b) => Number(LONG.test(b)) - Number(LONG.test(a))).values()
  const runQueue = async () => {
    for (const file of queue) {
      const onFailure = progress.failed.bind(progress)
      progress.ended(await runTestFile(file, { node, folder, onFailure }))
    }
  }
  // One more than cores: a file often waits for the disk or for a timer.
  await Promise.all(Array.from({ length: availableParallelism() + 1 }, runQueue))
  remove(folder)
  return progress.summary()
}

/** Makes the folder of this run, so that several can run in one checkout. Removes those of runs that were killed. */
function makeFolder(): string {
  const folders = join(root, '.tap')
  mkdirSync(folders, { recursive: true })
  for (const name of readdirSync(folders)) {
    if (!isRunning(Number(name))) remove(join(folders, name))
  }
  const folder = join(folders, String(process.pid))
  mkdirSync(folder)
  return folder
}

/** Removes a folder of a run. If a process that a test started still writes to it, a later run removes it. */
function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
  } catch (error) {
    console.log(`${folder} is left for the next run to remove: ${(error as Error).message}`)
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/**
 * Returns the test files that paths name, each a file or a folder; all test files when there are no paths.
 * @throws Error for a path that names none
 */
export function namedFiles(paths: readonly string[]): string[] {
  const known = testFiles()
  if (paths.length === 0) return known
  return paths.flatMap((path) => {
    const name = relative(root, path)
    const files = known.filter((file) => file === name || file.startsWith(`${name}/`))
    if (files.length === 0) throw new Error(`${path} is no test file and no folder of test files`)
    return files
  })
}
