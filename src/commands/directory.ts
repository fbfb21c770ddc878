/** Checks that commands make on a data directory before they open it. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError, systemReason } from '../errors.js'
import { isLevelDbFile } from '../log/level.js'
import { adviceFor } from '../log/storage-faults.js'

/**
 * Checks that a directory holds a log. Opening a directory without one would create an empty log.
 * @throws DaybookError `directory-unusable`
 */
export function requireDirectory(directory: string): void {
  refuseFile(directory)
  if (fileNamesIn(directory) === undefined)
    throw unusable(`the directory ${directory} does not exist; name an existing one with --db`)
  if (fileNamesIn(join(directory, 'log'))?.some(isLevelDbFile)) return
  throw unusable(`${directory} holds no Daybook log; name a directory that holds one with --db`)
}

/** @throws DaybookError `directory-unusable` if the path exists and is not a directory */
export function refuseFile(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw unusable(`${path} is not a directory; name the data directory with --db`)
  }
}

/**
 * Returns the names of the files in a directory, or undefined if the directory does not exist.
 * @throws DaybookError `directory-unusable`
 */
function fileNamesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    const advice = adviceFor(error)
    throw unusable(
      `cannot read ${directory}: ${systemReason(error)}${advice === undefined ? '' : `. ${advice}`}`,
      error
    )
  }
}

function unusable(why: string, cause?: unknown): DaybookError {
  return new DaybookError('directory-unusable', why, {}, cause)
}
