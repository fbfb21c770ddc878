/** Keeps the files of a log as they were before a recovery. Daybook never deletes them. */
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
 * Links the files of the log and its evidence into a new folder of the data directory, and copies the witness and the
 * report there. Links are enough, because LevelDB never changes an existing file of the log and only writes new ones.
 * @param root the data directory
 * @param now milliseconds since 1970, for the name of the folder
 * @param report text about the damage
 * @returns the path of the folder
 * @throws an error of the file system
 */
export function keepOldFiles(root: string, now: number, report: string): string {
  const folder = freeName(join(root, `before-recovery-${new Date(now).toISOString().replace(/[:.]/g, '-')}`))
  const log = join(root, 'log')
  keepFiles(log, join(folder, 'log'))
  keepFiles(join(log, 'evidence'), join(folder, 'evidence'))
  // The witness is overwritten in place, so a link to it would change too.
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

/** Syncs the names of the files in a folder. Some systems cannot sync folders; there a power cut may undo new names. */
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
