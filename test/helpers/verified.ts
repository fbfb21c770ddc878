/** Verifies the whole directory after each test that opened a store, as `daybook verify` does. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { checkDirectory } from '../../src/verify/check-directory.js'

/** The number of stores of this process that have a directory open. */
const open = new Map<string, number>()

/** Records that a store of this process uses a directory. */
export function markOpen(directory: string): void {
  open.set(directory, (open.get(directory) ?? 0) + 1)
}

/**
 * Records that a store of this process no longer uses a directory, and verifies the directory when no store does. Skips
 * a directory that the test has removed.
 */
export async function verifyWhenClosed(directory: string): Promise<void> {
  const users = (open.get(directory) ?? 1) - 1
  open.set(directory, users)
  if (users === 0 && existsSync(join(directory, 'log'))) await verifyDirectory(directory)
}

/** Rejects with all disagreements between log, index, witness and checkpoints of a closed directory. */
export async function verifyDirectory(directory: string): Promise<void> {
  const { disagreements } = await checkDirectory(directory)
  if (disagreements.length === 0) return
  throw new Error(
    `${directory} is not whole: ${disagreements.map(({ code, detail }) => `${code}: ${detail}`).join('; ')}`
  )
}
