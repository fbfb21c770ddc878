/** Directories whose log has lost its end, as after restoring an older copy. */
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { AppOptions } from '../../routes/index.js'
import type { StoreOptions } from '../../src/store/store.js'
import { openApp, type TestApp } from './app.js'

/** The folders that are restored from the copy. The checkpoints are kept. */
const RESTORED = ['log', 'index', 'witness']

/**
 * Restores the log of a server from an older copy, beside newer checkpoints.
 * @param kept writes to the log before it is copied
 * @param lost writes to the log after it is copied
 * @returns the directory, closed, and the identity of the log before it was restored
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
