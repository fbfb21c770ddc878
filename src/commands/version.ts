/** The version of this program, from package.json. */
import { createRequire } from 'node:module'

/** package.json is two folders above the source, and three above the compiled file. */
export const version = readVersion()

function readVersion(): string {
  const require = createRequire(import.meta.url)
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      return (require(path) as { version: string }).version
    } catch {}
  }
  return '0.0.0'
}
