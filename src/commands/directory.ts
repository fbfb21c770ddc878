/** What a command checks of a data directory before it touches it. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { DaybookError } from '../errors.js'
import { isLevelDbFile } from '../log/level.js'

/** @throws `directory-unusable` when it holds no log; opening it would make an empty one */
export function requireDirectory(directory: string): void {
  const log = join(directory, 'log')
  if (existsSync(log) && readdirSync(log).some(isLevelDbFile)) return
  throw new DaybookError('directory-unusable', `there is no Daybook log in ${directory}`)
}
