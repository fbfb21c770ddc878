/** What a command checks of a data directory before it touches it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError } from '../errors.js'

/** @throws `directory-unusable` when it holds no log; opening it would make an empty one */
export function requireDirectory(directory: string): void {
  if (existsSync(join(directory, 'log', 'CURRENT'))) return
  throw new DaybookError('directory-unusable', `there is no Daybook log in ${directory}`)
}
