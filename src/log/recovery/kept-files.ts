/** Keeping the files of a log as they were before a recovery: nothing of them is ever destroyed. */
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  writeFileSync
} from 'node:fs'
import { join } from 'node:path'

const WITNESS = 'witness'

/**
 * Links the files of the log, its evidence and the witness into a new folder of the data directory. LevelDB changes none
 * of these files, it only writes new ones, so links keep them as they are.
 * @param root the data directory @param now milliseconds, for the name of the folder @param report what was found, as text
 * @returns the path of the folder
 * @throws an error of the file system
 */
export function keepOldFiles(root: string, now: number, report: string): string {
  const folder = freeName(join(root, `before-recovery-${new Date(now).toISOString().replace(/[:.]/g, '-')}`))
  const log = join(root, 'log')
  keepFiles(log, join(folder, 'log'))
  keepFiles(join(log, 'evidence'), join(folder, 'evidence'))
  // The witness is written in place, so a link would change with it.
  if (existsSync(join(root, WITNESS))) copyFileSync(join(root, WITNESS), join(folder, WITNESS))
  writeFileSync(join(folder, 'report.json'), report, { flush: true })
  syncFolder(folder)
  syncFolder(root)
  return folder
}

function freeName(path: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? path : `${path}-${i}`
    if (!existsSync(name)) return name
  }
}

function keepFiles(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 })
  if (!existsSync(from)) return
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory() || entry.name === 'LOCK') continue
    const source = join(from, entry.name)
    try {
      linkSync(source, join(to, entry.name))
    } catch {
      copyFileSync(source, join(to, entry.name))
    }
  }
  syncFolder(to)
}

/** Directories cannot be synced everywhere; then a power cut may take the names away again. */
export function syncFolder(path: string): void {
  try {
    const fd = openSync(path, 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch {}
}
