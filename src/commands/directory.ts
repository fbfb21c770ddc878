/** What a command checks of a data directory before it touches it. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError, systemReason } from '../errors.js'
import { isLevelDbFile } from '../log/level.js'
import { adviceFor } from '../log/storage-faults.js'

/** @throws `directory-unusable` when it holds no log; opening it would make an empty one */
export function requireDirectory(directory: string): void {
  refuseFile(directory)
  if (fileNamesIn(directory) === undefined)
    throw unusable(`there is no directory ${directory}; name the one to open with --db`)
  if (fileNamesIn(join(directory, 'log'))?.some(isLevelDbFile)) return
  throw unusable(`there is no Daybook log in ${directory}; name the directory that holds one with --db`)
}

/** @throws `directory-unusable` when the path is there, and is no directory */
export function refuseFile(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw unusable(`${path} is no directory; name the data directory with --db`)
  }
}

/** What is in a directory; undefined: it is not there. @throws `directory-unusable` */
function fileNamesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const advice = adviceFor(error)
    throw unusable(
      `cannot look at ${directory}: ${systemReason(error)}${advice === undefined ? '' : `. ${advice}`}`,
      error
    )
  }
}

function unusable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('directory-unusable', why, {}, cause)
}
