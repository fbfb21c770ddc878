/** The version of this program, as package.json has it. */
import { createRequire } from 'node:module'

/** package.json stands two folders up from the source, and three from what is built of it. */
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
