/** Programs that npm does not install. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Returns the path of the first of these programs found in the PATH or a system folder; undefined if there is none. */
export function findExecutable(...names: string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isExecutable)
}

/**
 * Returns why a test that needs a program is skipped; false when it runs. Where CI is set the program must be there: the
 * test runs, and fails without it. Only for programs that .ci/run installs.
 */
export function skipWithout(program: string): string | false {
  const isMissing = findExecutable(program) === undefined
  return isMissing && process.env.CI === undefined && `needs ${program} in the PATH (apt-get install ${program})`
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
