/** Directories whose log has lost its end, as an older copy that was put back leaves them. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { AppOptions } from '../../routes/index.js'
import type { StoreOptions } from '../../src/store/store.js'
import { openApp, type TestApp } from './app.js'

/** What stands beside the checkpoints and is put back with the log. */
const RESTORED = ['log', 'index', 'witness']

/**
 * A server before and after its log was put back to an older copy, beside checkpoints that were kept.
 * @param kept what the copy holds
 * @param lost what came after it
 * @returns the directory, closed, and the identity that the log had
 */
export async function cutDirectory(
  t: Test,
  kept: (opened: TestApp) => Promise<unknown>,
  lost: (opened: TestApp) => Promise<unknown>,
  options: AppOptions & Partial<StoreOptions> = {}
): Promise<{ directory: string; log: string }> {
  const root = t.testdir({})
  const directory = join(root, 'db')
  const before = await openApp(t, { ...options, directory })
  const { id: log } = before.store.log
  await kept(before)
  await before.app.close()
  for (const name of RESTORED) cpSync(join(directory, name), join(root, 'older', name), { recursive: true })
  const later = await openApp(t, { ...options, directory })
  await lost(later)
  await later.app.close()
  for (const name of RESTORED) {
    rmSync(join(directory, name), { recursive: true })
    cpSync(join(root, 'older', name), join(directory, name), { recursive: true })
  }
  return { directory, log }
}
